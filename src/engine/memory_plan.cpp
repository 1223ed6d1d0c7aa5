// Adds up weights, activations, keys and values.
// Before: engine.cpp, and `qwenvl inspect` through plan_memory.   After: room.cpp.
#include "engine/memory_plan.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/settings.h"
#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/machine.h"
#include "engine/open_checkpoint.h"
#include "engine/scheduling/vision_batch.h"
#include "media/source.h"
#include "media/video/ffmpeg/ffmpeg.h"

namespace qwenvl {
namespace {

// The system maps this much around a page of a file that is touched.
constexpr std::int64_t kBytesAroundARow = 64 << 10;
// Stacks, lists, and what the general allocator rounds up.
constexpr std::int64_t kAllowance = 8 << 20;
constexpr int kMostPixelsOnASide = 1 << 20;

// What a limit must hold against includes the libraries that the first video and the first picture
// from the web would load, and what they touch when they are used. Returns what loading them now
// took: nothing when they were there before.
std::int64_t load_libraries(const EngineOptions& options) {
  constexpr std::int64_t kTouchedLater = 12 << 20;
  if (options.max_memory_bytes == 0) return 0;
  const std::int64_t before = own_memory_bytes("VmRSS");
  load_video_libraries();
  load_web_library();
  return own_memory_bytes("VmRSS") - before + kTouchedLater;
}

// Reading the tokenizer leaves more behind than it keeps.
std::int64_t resident_without_weights(const Checkpoint& checkpoint) {
  give_back_spare_memory();
  checkpoint.release_pages("");  // small vectors were copied when they were bound
  const auto weights = static_cast<std::int64_t>(checkpoint.written_bytes());
  return own_memory_bytes("VmRSS") - weights + kAllowance;
}

void check(const PlannedRequest& request, std::int64_t max_context) {
  if (request.n_tokens < 1 || request.n_tokens > max_context) {
    fail(ErrorKind::bad_request, "n_tokens: found {}, expected 1 to the context's {}",
         request.n_tokens, max_context);
  }
  if ((request.width == 0) != (request.height == 0) || request.width < 0 || request.height < 0 ||
      std::max(request.width, request.height) > kMostPixelsOnASide) {
    fail(ErrorKind::bad_request, "picture: found {} × {}, expected 1 to {} each, or 0 both",
         request.width, request.height, kMostPixelsOnASide);
  }
}

}  // namespace

std::int64_t pixel_bytes(const VisionInput& input) {
  std::int64_t bytes = 0;
  for (const Image& frame : input.frames) bytes += static_cast<std::int64_t>(frame.rgb.size());
  for (const FloatImage& frame : input.float_frames)
    bytes += static_cast<std::int64_t>(frame.rgb.size() * sizeof(float));
  return bytes;
}

MemoryPlanner::MemoryPlanner(const EngineOptions& options, const Checkpoint& checkpoint,
                             const Model& model, const Backend& backend)
    : options_(options),
      model_(model),
      backend_(backend),
      kv_(kv_layout(model.info().kv, options.kv_cache_type)),
      weights_(weight_bytes(checkpoint)),
      is_converted_(checkpoint.is_in_memory()),
      is_low_(options.memory == MemoryMode::low && !is_converted_),
      max_context_(context_limit(options, model.info())),
      process_bytes_(resident_without_weights(checkpoint)),
      library_bytes_(load_libraries(options)) {}

// The decoder's tensors for n_rows rows, and the logits of n_sequences.
std::int64_t MemoryPlanner::prefill_bytes(std::int64_t n_rows, std::int64_t n_sequences) const {
  return model_.forward_scratch(backend_, n_rows, n_sequences).total() +
         n_sequences * model_.info().vocabulary * static_cast<std::int64_t>(sizeof(float));
}

// Of a mapped table beside the head only rows that are looked up are read.
std::int64_t MemoryPlanner::embedding_bytes(std::int64_t n_tokens) const {
  if (is_converted_) return weights_.embedding;
  return std::min(weights_.embedding, n_tokens * kBytesAroundARow);
}

// Weights that are resident while the decoder runs, of the decoder only.
std::int64_t MemoryPlanner::decoder_side(std::int64_t n_tokens) const {
  return weights_.decoder + weights_.head + embedding_bytes(n_tokens);
}

MemoryPlan MemoryPlanner::plan(const PlannedRequest& request) const {
  check(request, max_context_);
  const ModelInfo& info = model_.info();
  MemoryPlan plan;
  plan.request = request;
  plan.mode = options_.memory;
  plan.is_converted = is_converted_;
  plan.kv_cache_type = name_of(kv_.type);
  plan.limit = static_cast<std::int64_t>(options_.max_memory_bytes);
  plan.process = process_bytes_;
  plan.libraries = library_bytes_;
  plan.vision_weights = request.width > 0 || is_converted_ ? weights_.vision : 0;
  plan.decoder_weights = weights_.decoder;
  plan.embedding_weights = embedding_bytes(request.n_tokens);
  plan.head_weights = weights_.head;
  plan.kv_cache = (request.n_tokens + kKvPageTokens - 1) / kKvPageTokens * kv_.page_bytes();
  plan.prefill_scratch =
      prefill_bytes(std::min<std::int64_t>(options_.prefill_chunk_tokens, request.n_tokens), 1);
  if (request.width > 0) {
    const Grid grid =
        model_.image_grid(request.width, request.height, {}, preprocess_options(options_));
    plan.processed_width = static_cast<int>(grid.w * info.patch_pixels);
    plan.processed_height = static_cast<int>(grid.h * info.patch_pixels);
    plan.features = grid.n_patches() / info.patches_per_token * info.feature_width *
                    static_cast<std::int64_t>(size_of(info.compute));
    // As decoded, after one axis is resized, and after both.
    plan.pixels = 3 * (std::int64_t{request.width} * request.height +
                       std::int64_t{plan.processed_width} * request.height +
                       std::int64_t{plan.processed_width} * plan.processed_height);
    plan.encode_scratch = model_.encode_scratch(backend_, grid).total();
  }
  const std::int64_t decoder = decoder_side(request.n_tokens);
  plan.encode_peak = request.width == 0 ? 0
                                        : plan.process + plan.libraries + plan.vision_weights +
                                              (is_low_ ? 0 : decoder) + plan.pixels +
                                              plan.features + plan.encode_scratch;
  plan.decode_peak = plan.process + plan.libraries + decoder + (is_low_ ? 0 : plan.vision_weights) +
                     plan.features + plan.kv_cache + plan.prefill_scratch;
  return plan;
}

std::int64_t MemoryPlanner::room() const {
  if (options_.max_memory_bytes == 0) return std::numeric_limits<std::int64_t>::max();
  const MemoryPlan least = plan({1, 28, 28});
  if (!least.fits()) {
    fail(ErrorKind::out_of_memory,
         "max_memory_bytes: the model takes {} bytes before it has read anything, expected at most "
         "{}: {}choose weights of fewer bits (qwenvl quantize), or raise the limit\n{}",
         least.peak(), least.limit,
         is_low_         ? ""
         : is_converted_ ? "let the tower leave (memory low, with weights used in place), "
                         : "let the tower leave (memory low), ",
         table_of(least));
  }
  const std::int64_t tower = is_low_ ? 0 : weights_.vision;
  return least.limit - process_bytes_ - library_bytes_ - tower - decoder_side(max_context_) -
         prefill_bytes(std::min<std::int64_t>(options_.prefill_chunk_tokens, max_context_), 1);
}

std::int64_t MemoryPlanner::request_bytes(const std::vector<VisionInput>& media,
                                          std::int64_t n_sequences) const {
  const ModelInfo& info = model_.info();
  const std::int64_t chunk = std::min<std::int64_t>(options_.prefill_chunk_tokens, max_context_);
  const std::int64_t prefill = prefill_bytes(chunk, 1);
  const std::int64_t low_difference = is_low_ ? weights_.vision - decoder_side(max_context_) : 0;
  const auto row_bytes = info.feature_width * static_cast<std::int64_t>(size_of(info.compute));
  std::int64_t features = 0, encode = 0;
  for (const VisionInput& input : media) {
    features += input.n_tokens * row_bytes;
    const Grid batch = batch_grid(input.grid);
    // Of several pairs, features are there together before each has its own.
    const std::int64_t rows = batch.t == 1 ? 0 : input.n_tokens / input.grid.t * batch.t;
    encode = std::max(encode, model_.encode_scratch(backend_, batch).total() + rows * row_bytes +
                                  low_difference - prefill);
  }
  return features + encode + prefill_bytes(chunk + n_sequences - 1, n_sequences) - prefill;
}

namespace {

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

MemoryPlan planned(const EngineOptions& options, const PlannedRequest& request) {
  check_settings();
  check_step_sizes(options);
  const Checkpoint checkpoint = check_model(options).checkpoint;
  const Tokenizer tokenizer = open_tokenizer(options.model);  // for what it holds
  const auto model = make_model(checkpoint, compute_type(options.compute));
  const auto backend = make_backend(options.backend, thread_count(options.n_threads));
  return MemoryPlanner(options, checkpoint, *model, *backend).plan(request);
}

}  // namespace

const char* name_of(MemoryMode mode) {
  if (mode == MemoryMode::low) return "low";
  return mode == MemoryMode::copied ? "copied" : "normal";
}

MemoryPlan plan_memory(const EngineOptions& options, const PlannedRequest& request) {
  return guarded([&] { return planned(options, request); });
}

std::string table_of(const MemoryPlan& plan) {
  std::string table;
  const auto line = [&](const std::string& name, std::int64_t bytes, const std::string& note) {
    if (bytes == 0) return;
    table +=
        fmt::format("{:<28} {:>12}{}{}\n", name, megabytes(bytes), note.empty() ? "" : "  ", note);
  };
  const bool is_low = plan.mode == MemoryMode::low;
  const auto weight_note = [&](const char* when_low) {
    if (plan.mode == MemoryMode::copied) return "copied";
    if (plan.is_converted) return is_low ? "converted: stays in memory" : "converted";
    return is_low ? when_low : "";
  };
  line("program and tokenizer", plan.process, "");
  line("libraries: videos, the web", plan.libraries, "at once, because of the limit");
  line("weights: vision tower", plan.vision_weights,
       weight_note("only while a picture is encoded"));
  line("weights: decoder", plan.decoder_weights, weight_note("not while a picture is encoded"));
  line("weights: embedding", plan.embedding_weights,
       plan.is_converted ? weight_note("") : "rows that are looked up");
  line("weights: head", plan.head_weights, "");
  line("keys and values", plan.kv_cache,
       fmt::format("{} tokens, {}", plan.request.n_tokens, plan.kv_cache_type));
  line("picture", plan.pixels,
       fmt::format("{} × {}, then {} × {}", plan.request.width, plan.request.height,
                   plan.processed_width, plan.processed_height));
  line("picture features", plan.features, "");
  line("scratch: encoding", plan.encode_scratch, "");
  line("scratch: reading a prompt", plan.prefill_scratch, "");
  line("peak while encoding", plan.encode_peak, "");
  line("peak while answering", plan.decode_peak, "");
  line("limit", plan.limit, plan.fits() ? "fits" : "does not fit");
  return table;
}

}  // namespace qwenvl
