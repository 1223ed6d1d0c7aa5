// Options that several commands share, and how they fill the public API's structs.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl::cli {

inline constexpr const char* kModelVariable = "QWENVL_MODEL";

// Accepts whole numbers from `low` to `high`; help and messages call a range as wide as int open.
CLI::Validator whole(std::int64_t low, std::int64_t high = std::numeric_limits<int>::max());

// Accepts finite numbers in this range.
CLI::Validator between(double low, double high);
CLI::Validator at_least(double low);

// Refuses "": more likely a variable that was never set than the wish for the default.
CLI::Validator model_name();
// --model with its environment variable; "" when neither is given (model_choice.h goes on).
void add_model_option(CLI::App& command, std::string& model);
// --projector, the vision file of a GGUF model.
void add_projector_option(CLI::App& command, std::string& projector);
// How its files become weights: --projector, --weights.
void add_weight_options(CLI::App& command, EngineOptions& options);
// Everything that says how much memory is taken, and for what.
void add_memory_options(CLI::App& command, EngineOptions& options);
// --model and everything that says how it is run.
void add_engine_options(CLI::App& command, EngineOptions& options);
// Sizes of all pictures and frames of a request, and what is known about its clips.
struct MediaOptions {
  PictureOptions pictures;
  ClipOptions clips;  // but for the sizes of frames, which are those of pictures, and `dynamic`
  bool is_dynamic = false;
  DynamicSampling dynamic;

  ClipOptions clip() const;
  bool has_clip_options() const;
  bool chooses_frames() const;     // by their number
  bool has_video_options() const;  // that folders of frames do not take
};
void add_media_options(CLI::App& command, MediaOptions& options);

inline constexpr const char* kSamplingGroup =
    "How tokens are chosen (unset: generation_config.json)";
// The struct plus what becomes of the flags once all options are known.
struct SamplingOptions {
  Sampling sampling;
  bool is_greedy = false;

  // Asking for a sampling parameter asks for sampling; --greedy, --temperature 0 and --beams ask
  // for none.
  Sampling resolved() const;
};
void add_sampling_options(CLI::App& command, SamplingOptions& options);

// `text` as a number of exactly this type; throws bad_request naming `place` otherwise.
std::int64_t parse_integer(const std::string& text, const std::string& place);

// A JSON file's list of tool definitions, each as its own JSON text.
std::vector<std::string> read_tools(const std::string& path);

}  // namespace qwenvl::cli
