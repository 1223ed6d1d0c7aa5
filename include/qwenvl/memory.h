// How much memory a model takes: known, and limited, before anything runs.
//
//   const auto plan = qwenvl::plan_memory({.model = "./qwen-int4"}, {.n_tokens = 4096});
//   std::cout << qwenvl::table_of(plan);
//
// Every call throws qwenvl::Error.
#pragma once

#include <cstdint>
#include <string>

namespace qwenvl {

struct EngineOptions;

enum class MemoryMode {
  normal,  // weights that were read once stay
  low,     // the vision tower's go when a picture is encoded, the decoder's while one is: each is
           // read again, from the system's cache of files, when its turn comes. Weights that were
           // converted while they were opened lie in no file and stay
  copied,  // weights are copied, where the system has them into large pages, which are read faster
           // than the small ones that files mostly lie in; the table of embeddings too
};

// "normal", "low", "copied".
const char* name_of(MemoryMode mode);

enum class KvCacheType {
  automatic,  // the type that is computed in
  bfloat16,
  int8,  // 8 bits and a scale for each head of a token; keys are rotated before
};

// A request to plan for. Sizes of what is really asked for are counted again when it is submitted.
struct PlannedRequest {
  std::int64_t n_tokens = 2048;   // prompt, picture and answer; at most what the context allows
  int width = 512, height = 512;  // of one picture, before it is resized; 0: none
  int n_sequences = 1;            // beams or choices
};

// Bytes resident in this process. Weights are pages of mapped files, which the system shares
// between processes and takes away when memory is short; or they were converted or copied, and are
// this process's own.
struct MemoryPlan {
  PlannedRequest request;
  int processed_width = 0, processed_height = 0;  // 0: no picture
  MemoryMode mode = MemoryMode::normal;
  bool is_converted = false;         // or copied: weights are this process's own and stay in it
  std::string kv_cache_type;         // "bfloat16"
  std::int64_t process = 0;          // this program and the tokenizer as they are now, and 8 MiB
  std::int64_t libraries = 0;        // that videos and the web need: loaded at once under a limit,
                                     // so that it holds whatever is asked; else when needed
  std::int64_t vision_weights = 0;   // the tower and its merger
  std::int64_t decoder_weights = 0;  // layers and norms
  std::int64_t embedding_weights = 0;  // of a mapped table beside the head, rows that are looked up
  std::int64_t head_weights = 0;
  std::int64_t kv_cache = 0;         // whole pages of 64 tokens
  std::int64_t pixels = 0;           // decoded, and of the processed size
  std::int64_t features = 0;         // the encoded picture
  std::int64_t encode_scratch = 0;   // activations and buffers of the tower
  std::int64_t prefill_scratch = 0;  // of the decoder, for a chunk of the prompt
  std::int64_t encode_peak = 0;      // while the picture is encoded
  std::int64_t decode_peak = 0;      // while the prompt is read and answered
  std::int64_t limit = 0;            // EngineOptions::max_memory_bytes; 0: none

  std::int64_t peak() const { return encode_peak > decode_peak ? encode_peak : decode_peak; }
  bool fits() const { return limit == 0 || peak() <= limit; }
};

// Opens the checkpoint and counts; nothing is computed. Does not refuse what does not fit.
MemoryPlan plan_memory(const EngineOptions& options, const PlannedRequest& request);

// For people: a line for each part that is not zero, and the peak.
std::string table_of(const MemoryPlan& plan);

}  // namespace qwenvl
