// The engine: a request (messages with pictures and clips) in, a stream of events (text, usage,
// timings) out.
//
//   auto engine = qwenvl::Engine::open({.model = "Qwen/Qwen2.5-VL-3B-Instruct"});
//   auto stream = engine.submit({.messages = {{"user", {Part::picture("photo.jpg"),
//                                                       Part::words("What is this?")}}}});
//   for (qwenvl::Event event; stream.next(event);) std::cout << event.text;
//
// Every call throws qwenvl::Error; a failing request never harms the engine or other requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qwenvl/error.h"
#include "qwenvl/media.h"
#include "qwenvl/memory.h"

namespace qwenvl {

// ---- requests --------------------------------------------------------------------------------

struct Part {
  enum class Kind { text, picture, clip } kind = Kind::text;
  std::string text;
  Picture image;
  Clip video;

  static Part words(std::string text) { return {Kind::text, std::move(text), {}, {}}; }
  static Part picture(std::string source, PictureOptions options = {}) {
    return {Kind::picture, {}, {std::move(source), {}, options}, {}};
  }
  // Frames in order of time.
  static Part clip(std::vector<Picture> frames, ClipOptions options = {}) {
    return {Kind::clip, {}, {}, {{}, std::move(frames), options}};
  }
  static Part video_file(std::string source, ClipOptions options = {}) {
    return {Kind::clip, {}, {}, {{}, {}, options, std::move(source)}};
  }
};

struct Message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::vector<Part> parts;
};

// When beam search ends: as soon as num_beams answers are finished (yes), when the best running
// beam at its present length cannot beat them (no), or at any length it may reach (never).
enum class EarlyStopping { no, yes, never };

// Unset fields take the values of generation_config.json, then the library defaults of the
// reference (top_k 50, top_p 1, no penalties); max_new_tokens then is 1024 or what the context has
// room for. temperature = 0 means greedy. Beams are searched, never sampled: asking for num_beams
// above 1 turns do_sample off unless it is asked for too, which is refused.
struct Sampling {
  std::optional<bool> do_sample;
  std::optional<float> temperature;
  std::optional<int> top_k;  // 0 = off
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<int> no_repeat_ngram_size;
  std::optional<int> min_new_tokens;
  std::optional<int> max_new_tokens;
  std::optional<std::uint64_t> seed;  // unset: a fresh one, reported in the answer
  std::optional<int> num_beams;
  std::optional<float> length_penalty;          // beams
  std::optional<EarlyStopping> early_stopping;  // beams
  std::optional<int> num_return_sequences;
  std::optional<std::vector<std::int32_t>> eos_token_ids;
};

struct Request {
  std::vector<Message> messages;
  Sampling sampling;
  std::vector<std::string> stop;        // stop strings; withheld from the text
  std::vector<std::string> tools_json;  // tool definitions: the model's tool template is used
  int n_logprobs = -1;                  // ≥ 0: log-probabilities of each token and of the n best
  bool add_vision_id = false;         // "Picture 1: " before each picture, "Video 1: " before clips
  bool allow_special_tokens = false;  // let message text contain control tokens like <|im_end|>
  bool want_first_logits = false;     // fills Event::first_logits
};

// ---- answers ---------------------------------------------------------------------------------

struct TokenLogprob {
  std::int32_t id = 0;
  std::string
      text;  // filled with logprobs; not necessarily whole characters: U+FFFD stands for half
  float logprob = 0;  // natural logarithm, after penalties, before temperature
};

struct TokenInfo {
  TokenLogprob chosen;            // only its id, unless Request::n_logprobs asks for more
  std::vector<TokenLogprob> top;  // n_logprobs best
};

enum class FinishReason { none, stop, length, cancelled };
const char* name_of(FinishReason reason);

struct Usage {
  int prompt_tokens = 0;   // pictures and clips included
  int picture_tokens = 0;  // of pictures and clips
  int completion_tokens = 0;
};

// Wall-clock milliseconds.
struct Timings {
  double load_ms = 0;        // opening the checkpoint, once per engine
  double preprocess_ms = 0;  // reading, decoding, resizing pictures; laying out the prompt
  double encode_ms = 0;      // vision tower
  double prefill_ms = 0;
  double decode_ms = 0;
};

// In order: prepared; progress; text and finished of each choice. Beams are reported at their end.
struct Event {
  enum class Kind { prepared, progress, text, finished } kind = Kind::prepared;
  std::string stage;                 // Kind::progress: "encode" or "prefill"
  std::int64_t done = 0, total = 0;  // Kind::progress: layers of all pictures, or prompt tokens
  int choice = 0;                    // which of num_return_sequences
  std::string text;                  // Kind::text: whole characters only
  std::vector<TokenInfo> tokens;     // Kind::text: tokens since the last event of this choice
  FinishReason finish_reason = FinishReason::none;  // Kind::finished, one per choice
  std::string matched_stop;                         // the stop string, if one ended the choice
  double score = 0;                                 // beams: the final score
  std::vector<PictureInfo> pictures;                // Kind::prepared
  std::vector<ClipInfo> clips;                      // Kind::prepared
  Usage usage;             // prepared, and finished: tokens of all choices so far
  Timings timings;         // finished
  std::uint64_t seed = 0;  // prepared and finished
  // Kind::finished of choice 0, when Request::want_first_logits: the scores [vocabulary] the model
  // gave to the first generated token, before any penalty. Lets two engines be compared exactly.
  std::vector<float> first_logits;
};

struct EventQueue;

class EventStream {
 public:
  EventStream();
  ~EventStream();
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;

  // Waits for the next event; false when the request is over. Throws the request's Error.
  bool next(Event& event);
  // Asks the engine to stop; the stream then ends with FinishReason::cancelled.
  void cancel();

 private:
  friend class Engine;
  std::shared_ptr<EventQueue> queue_;
};

struct Choice {
  std::string text;
  FinishReason finish_reason = FinishReason::none;
  std::string matched_stop;
  std::vector<TokenInfo> tokens;
  double score = 0;
};

struct Answer {
  std::vector<Choice> choices;
  std::vector<PictureInfo> pictures;
  std::vector<ClipInfo> clips;
  Usage usage;
  Timings timings;
  std::uint64_t seed = 0;
};

// Reads a stream to its end.
Answer collect(EventStream stream);

// ---- the engine ------------------------------------------------------------------------------

enum class ComputeType { automatic, float32, bfloat16 };  // automatic: bf16 for bf16 checkpoints

// Numbers converted and to convert, and the tensor they belong to.
using LoadProgress =
    std::function<void(std::uint64_t done, std::uint64_t total, const std::string& tensor)>;

struct EngineOptions {
  std::string model;  // a folder (as published, from qwenvl quantize, AWQ, GPTQ, bitsandbytes), a
                      // .gguf file, or "org/name" in the Hugging Face cache
  std::string projector;  // of a GGUF model: its vision file; "": the only *mmproj*.gguf beside it
  // What the weights become in memory: "auto", or a format of quantize(), for which files are not
  // used in place but converted while they are opened. auto: published folders and those of
  // qwenvl quantize in place; of other programs' files, matrices of 8 bits or fewer as "int8" does
  // and the rest in bf16.
  std::string weights = "auto";
  LoadProgress on_load;          // called while weights are converted, on the opening thread
  std::string backend = "auto";  // "auto", "cpu", "reference"
  ComputeType compute = ComputeType::automatic;
  int n_threads = 0;                    // 0: every core this process may use
  std::int64_t max_context_tokens = 0;  // 0: what the checkpoint allows
  std::size_t kv_cache_bytes = 0;       // 0: half of the memory available when the engine opens,
                                        // and no more than max_memory_bytes leaves
  KvCacheType kv_cache_type = KvCacheType::automatic;
  MemoryMode memory = MemoryMode::normal;
  // Most bytes resident in this process; 0: no limit. What cannot fit is refused: the model when it
  // is opened, a request when it is submitted. Requests that fit, but not now, wait.
  std::size_t max_memory_bytes = 0;
  int max_batch_sequences = 64;          // sequences computed in one step; a request that has more
                                         // (beams, choices) is computed alone
  int prefill_chunk_tokens = 512;        // rows per prefill step: bounds the scratch memory
  std::string loader = "qwen_vl_utils";  // "qwen_vl_utils" | "hf": alpha and EXIF handling
  std::string resize_kernel = "pillow";  // "pillow" (13) | "pillow12" (until 12) | "torch_int16"
  // How sizes are chosen: "qwen_vl_utils" | "qwen_vl_utils11" (until 0.0.11: a clip's frames are
  // treated as pictures) | "hf".
  std::string resize_rule = "qwen_vl_utils";
  std::string normalisation = "slow";  // "slow" | "fast": rounding of (x/255 - mean)/std; clips
                                       // are always "fast"
  std::string temporal_ids = "float";  // "float" | "int": M-RoPE time step of clips
  // Which frames of a video are seen: "qwen_vl_utils" | "hf".
  std::string frame_rule = "qwen_vl_utils";
  // Whose rates and colours of videos: "torchcodec" | "decord".
  std::string video_reader = "torchcodec";
  std::size_t vision_cache_bytes = 64u << 20;  // features of pictures and clips seen before
};

class Engine {
 public:
  static Engine open(const EngineOptions& options);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Reads pictures and lays out the prompt on the calling thread (and throws what is wrong with
  // them), then queues the request. Requests in flight are computed in common batches. Any number
  // of threads may call it at once. An engine that is destroyed cancels what is in flight; streams
  // may outlive it.
  EventStream submit(const Request& request);

  // Text → ids with the model's tokenizer; special tokens parsed only if asked.
  std::vector<std::int32_t> tokenize(const std::string& text, bool parse_special) const;
  std::string detokenize(const std::vector<std::int32_t>& ids, bool skip_special) const;
  // The exact prompt text of a request, and its ids (pictures expanded).
  std::string render(const Request& request) const;
  std::vector<std::int32_t> prompt_ids(const Request& request) const;

  // Which frames of a clip's video a request with nothing else in it would see, and what they cost.
  // No frame is resized, and the model does not run.
  VideoPlan plan(const Clip& clip) const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qwenvl
