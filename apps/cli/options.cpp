// Options that several commands share, and how they fill the public API's structs.
#include "options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

namespace qwenvl::cli {

namespace {

// `text` as a decimal number and nothing else.
std::optional<std::int64_t> integer_in(const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped_at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped_at != end) return std::nullopt;
  return value;
}

// The parser alone would let -1 wrap around.
CLI::Validator seed_number() {
  return CLI::Validator(
      [](std::string& text) {
        std::uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto [stopped_at, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && stopped_at == end) return std::string();
        return fmt::format("'{}' is not a whole number 0 to {}", text,
                           std::numeric_limits<std::uint64_t>::max());
      },
      ">= 0");
}

// "1500000000", "1.5G": whole bytes, rewritten as such.
CLI::Validator byte_size() {
  return CLI::Validator(
      [](std::string& text) {
        double value = 0;
        const char* end = text.data() + text.size();
        const auto [stopped_at, error] = std::from_chars(text.data(), end, value);
        const std::string unit(stopped_at, end);
        const double factor = unit.empty()  ? 1
                              : unit == "K" ? 1e3
                              : unit == "M" ? 1e6
                              : unit == "G" ? 1e9
                                            : 0;
        if (error != std::errc() || factor == 0 || !(value >= 0 && value * factor <= 1e15))
          return fmt::format("'{}' is not a number of bytes such as 2000000000 or 2G", text);
        text = fmt::format("{}", static_cast<std::int64_t>(value * factor));
        return std::string();
      },
      "");
}

constexpr std::int64_t kMostTokens = 1'000'000'000'000;

EarlyStopping early_stopping(const std::string& name) {
  if (name == "yes") return EarlyStopping::yes;
  return name == "never" ? EarlyStopping::never : EarlyStopping::no;
}

ComputeType compute_type(const std::string& name) {
  if (name == "float32") return ComputeType::float32;
  return name == "bfloat16" ? ComputeType::bfloat16 : ComputeType::automatic;
}

}  // namespace

// CLI11's own Range lets NaN through, and its message shows type limits.
CLI::Validator between(double low, double high) {
  const bool is_open = std::isinf(high);
  const std::string range =
      is_open ? fmt::format(">= {:g}", low) : fmt::format("{:g} to {:g}", low, high);
  return CLI::Validator(
      [low, high, range](std::string& text) {
        double value = 0;
        const bool is_number = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
        if (is_number && value >= low && value <= high) return std::string();
        return fmt::format("'{}' is not a number {}", text, range);
      },
      range);
}

CLI::Validator at_least(double low) {
  return between(low, std::numeric_limits<double>::infinity());
}

CLI::Validator whole(std::int64_t low, std::int64_t high) {
  const bool is_open = high >= std::numeric_limits<int>::max();
  const std::string range =
      is_open ? fmt::format(">= {}", low) : fmt::format("{} to {}", low, high);
  return CLI::Validator(
      [low, high, range](std::string& text) {
        const std::optional<std::int64_t> value = integer_in(text);
        if (value && *value >= low && *value <= high) return std::string();
        return fmt::format("'{}' is not a whole number {}", text, range);
      },
      range);
}

CLI::Validator model_name() {
  return CLI::Validator(
      [](std::string& text) {
        return text.empty() ? std::string("'' names no model") : std::string();
      },
      "");
}

void add_model_option(CLI::App& command, std::string& model) {
  command
      .add_option(
          "-m,--model", model,
          "Folder, .gguf file, repository id in the Hugging Face cache, or: demo (unset: the "
          "published model if it was downloaded, else demo)")
      ->envname(kModelVariable)
      ->check(model_name())
      ->type_name("MODEL");
}

void add_projector_option(CLI::App& command, std::string& projector) {
  command
      .add_option("--projector", projector,
                  "Vision file of a GGUF model (unset: the *mmproj*.gguf beside it)")
      ->check(model_name())
      ->type_name("FILE");
}

void add_weight_options(CLI::App& command, EngineOptions& options) {
  add_projector_option(command, options.projector);
  command
      .add_option("--weights", options.weights,
                  "Convert while loading: bf16, int8, int4 or int4-small; auto: other programs' "
                  "quantised matrices to 8 bits, the rest as it is")
      ->check(CLI::IsMember({"auto", "bf16", "int8", "int4", "int4-small"}))
      ->capture_default_str();
}

void add_memory_options(CLI::App& command, EngineOptions& options) {
  const std::string group = "Memory (sizes in bytes, or with K, M, G: 2G is 2 000 000 000)";
  command
      .add_option_function<std::string>(
          "--memory",
          [&options](const std::string& name) {
            options.memory = name == "low"      ? MemoryMode::low
                             : name == "copied" ? MemoryMode::copied
                                                : MemoryMode::normal;
          },
          "low: the vision tower leaves when a picture is encoded; copied: weights go into large "
          "pages, which are read faster (unset: normal)")
      ->check(CLI::IsMember({"normal", "low", "copied"}))
      ->group(group);
  command
      .add_option("--max-memory", options.max_memory_bytes,
                  "Refuse what would take more; 0: no limit")
      ->transform(byte_size())
      ->type_name("SIZE")
      ->group(group);
  command
      .add_option_function<std::string>(
          "--kv-cache",
          [&options](const std::string& name) {
            options.kv_cache_type = name == "int8"   ? KvCacheType::int8
                                    : name == "bf16" ? KvCacheType::bfloat16
                                                     : KvCacheType::automatic;
          },
          "Type of keys and values (unset: auto, what is computed in)")
      ->check(CLI::IsMember({"auto", "bf16", "int8"}))
      ->group(group);
  command
      .add_option("--kv-cache-bytes", options.kv_cache_bytes,
                  "Most memory for keys and values; 0: half of what is available")
      ->transform(byte_size())
      ->type_name("SIZE")
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--context", options.max_context_tokens, "Most tokens; 0: what the model allows")
      ->check(whole(0, kMostTokens))
      ->capture_default_str()
      ->group(group);
}

void add_engine_options(CLI::App& command, EngineOptions& options) {
  add_model_option(command, options.model);
  add_weight_options(command, options);
  const std::string group = "How it is computed";
  command
      .add_option_function<std::string>(
          "--compute",
          [&options](const std::string& name) { options.compute = compute_type(name); },
          "Unset: auto, what the checkpoint stores")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->group(group);
  command.add_option("--backend", options.backend, "auto, cpu or reference")
      ->capture_default_str()
      ->group(group);
  command.add_option("--threads", options.n_threads, "0: every core this process may use")
      ->check(whole(0, 1000))
      ->capture_default_str()
      ->group(group);
  add_memory_options(command, options);
  const std::string reference = "Which behaviour of the reference";
  command.add_option("--loader", options.loader, "Alpha and EXIF orientation")
      ->check(CLI::IsMember({"qwen_vl_utils", "hf"}))
      ->capture_default_str()
      ->group(reference);
  command.add_option("--resize-rule", options.resize_rule, "How the processed size is chosen")
      ->check(CLI::IsMember({"qwen_vl_utils", "qwen_vl_utils11", "hf"}))
      ->capture_default_str()
      ->group(reference);
  command.add_option("--resize-kernel", options.resize_kernel, "Arithmetic of the bicubic resize")
      ->check(CLI::IsMember({"pillow", "pillow12", "torch_int16"}))
      ->capture_default_str()
      ->group(reference);
  command.add_option("--normalisation", options.normalisation, "Rounding of (x/255 - mean)/std")
      ->check(CLI::IsMember({"slow", "fast"}))
      ->capture_default_str()
      ->group(reference);
  command
      .add_option("--temporal-ids", options.temporal_ids,
                  "Times in clips: as they are, or of whole seconds between pairs of frames")
      ->check(CLI::IsMember({"float", "int"}))
      ->capture_default_str()
      ->group(reference);
  command.add_option("--frame-rule", options.frame_rule, "Which frames of a video are seen")
      ->check(CLI::IsMember({"qwen_vl_utils", "hf"}))
      ->capture_default_str()
      ->group(reference);
  command.add_option("--video-reader", options.video_reader, "Whose rates and colours of videos")
      ->check(CLI::IsMember({"torchcodec", "decord"}))
      ->capture_default_str()
      ->group(reference);
}

Sampling SamplingOptions::resolved() const {
  Sampling out = sampling;
  const bool asks_to_sample =
      out.temperature.value_or(0) > 0 || out.top_k || out.top_p || out.min_p;
  const bool is_beam_search = out.num_beams.value_or(1) > 1;
  if (asks_to_sample) {
    out.do_sample = true;  // what does not go with it, the library refuses
  } else if (is_greedy || out.temperature == 0.0F || is_beam_search) {
    out.do_sample = false;
  }
  return out;
}

namespace {

void add_length_options(CLI::App& command, Sampling& s, const std::string& group) {
  command.add_option("--max-new-tokens", s.max_new_tokens, "Longest answer")
      ->check(whole(1))
      ->group(group);
  command.add_option("--min-new-tokens", s.min_new_tokens, "Shortest answer")
      ->check(whole(0))
      ->group(group);
  command
      .add_option("--eos-token-ids", s.eos_token_ids,
                  "Token ids that end the answer, e.g. 151645,151643")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole(0))
      ->type_name("IDS")
      ->group(group);
}

}  // namespace

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  Sampling& s = options.sampling;
  const std::string group = kSamplingGroup;
  auto* greedy =
      command.add_flag("--greedy", options.is_greedy, "Always the likeliest token")->group(group);
  const auto sampling = [&](const char* name, auto& field, CLI::Validator check, const char* help) {
    command.add_option(name, field, help)->check(std::move(check))->excludes(greedy)->group(group);
  };
  sampling("--temperature", s.temperature, at_least(0), "0: greedy");
  sampling("--top-k", s.top_k, whole(0), "0: off");
  sampling("--top-p", s.top_p, between(0, 1), "Smallest set of tokens with this probability");
  sampling("--min-p", s.min_p, between(0, 1), "Tokens at least this likely beside the best");
  command.add_option("--seed", s.seed, "Unset: a fresh one, reported with --stats and --json")
      ->check(seed_number())
      ->group(group);
  command.add_option("--repetition-penalty", s.repetition_penalty, "1: off")
      ->check(at_least(0))
      ->group(group);
  command.add_option("--no-repeat-ngram-size", s.no_repeat_ngram_size, "0: off")
      ->check(whole(0))
      ->group(group);
  command.add_option("--beams", s.num_beams, "Search with this many beams; they are never sampled")
      ->check(whole(1, 64))
      ->group(group);
  command.add_option("--length-penalty", s.length_penalty, "Beams: > 0 favours long answers")
      ->check(between(-100, 100))
      ->group(group);
  command
      .add_option_function<std::string>(
          "--early-stopping",
          [&s](const std::string& name) { s.early_stopping = early_stopping(name); },
          "Beams: end once enough are complete (yes), when none can improve at its present length "
          "(no) or at any length (never)")
      ->check(CLI::IsMember({"yes", "no", "never"}))
      ->group(group);
  command.add_option("-n,--n", s.num_return_sequences, "Number of answers")
      ->check(whole(1, 64))
      ->group(group);
  add_length_options(command, s, group);
}

std::int64_t parse_integer(const std::string& text, const std::string& place) {
  if (const std::optional<std::int64_t> value = integer_in(text)) return *value;
  throw Error(ErrorKind::bad_request, fmt::format("{}: '{}' is not an integer", place, text));
}

std::vector<std::string> read_tools(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    throw Error(ErrorKind::bad_file, fmt::format("--tools {}: cannot be read", path));
  }
  try {
    // Ordered: the keys stand in the prompt as they stand in the file.
    const auto tools = nlohmann::ordered_json::parse(text.str());
    if (!tools.is_array()) {
      throw Error(ErrorKind::bad_file,
                  fmt::format("--tools {}: found {}, expected a list of tool definitions", path,
                              tools.type_name()));
    }
    std::vector<std::string> out;
    for (const auto& tool : tools) out.push_back(tool.dump());
    return out;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::bad_file, fmt::format("--tools {}: not JSON: {}", path, error.what()));
  }
}

}  // namespace qwenvl::cli
