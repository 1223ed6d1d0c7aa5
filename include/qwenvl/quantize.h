// Making a checkpoint smaller, and measuring what that costs. Every call throws qwenvl::Error.
//
//   qwenvl::quantize({.model = "Qwen/Qwen2.5-VL-3B-Instruct", .out = "qwen-int4", .format =
//   "int4"}); auto engine = qwenvl::Engine::open({.model = "qwen-int4"});
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace qwenvl {

struct QuantizeOptions {
  std::string model;  // a folder (plain, AWQ, GPTQ, bitsandbytes), a GGUF file with its mmproj file
                      // beside it, or "org/name" in the Hugging Face cache
  std::string out;    // a folder that does not exist yet
  std::string format = "int4";  // "bf16", "int8", "int4", "int4-small"
  int n_threads = 0;            // 0: every core this process may use
  std::string projector;        // vision file of a GGUF model; "": the *mmproj*.gguf beside it
  // A folder of pictures, texts and conversations that the model is run over first; matrices are
  // then rounded with regard to their inputs (docs/quantisation.md). "": for themselves.
  std::string calibration;
};

struct QuantizedTensor {
  std::string name;
  std::string packing;  // "int4", "int8", "int8_grouped"; "bfloat16" … for what stays as it is
  std::vector<std::int64_t> shape;
  std::string before;  // how it was stored: "bf16", "Q4_K", "gptq 4-bit g128" …
  std::uint64_t bytes = 0;
  double relative_error = 0;   // √(Σ (w − w')² / Σ w²)
  bool is_calibrated = false;  // rounded with regard to its inputs
};

struct QuantizeReport {
  std::vector<QuantizedTensor> tensors;  // in the order of the file
  std::uint64_t bytes = 0;
  double seconds = 0;
  // Engine::open reads the source, too: compare_models can ask both.
  bool is_source_runnable = false;
  int n_calibration_items = 0;  // pictures, parts of texts, conversations
  std::int64_t n_calibration_tokens = 0;
};

// Numbers done and in all, and the tensor being worked on or the calibration item being read (then
// `done` stays as it is). A source that is calibrated with and cannot be used where it lies is
// converted first; the count of that comes before.
using QuantizeProgress =
    std::function<void(std::uint64_t done, std::uint64_t total, const std::string& tensor)>;

// Writes a folder like the model's, its matrices packed (docs/quantisation.md). Works panel by
// panel, with calibration layer by layer: memory does not grow with the model. The folder appears
// when it is complete; an interrupted run leaves at most `out` + ".part".
QuantizeReport quantize(const QuantizeOptions& options, const QuantizeProgress& on_progress = {});

// How far a model's answers are from another's: the scores of the first answer token to plain text
// and to questions about synthetic pictures.
struct PromptComparison {
  std::string prompt;
  bool has_picture = false;
  double kl = 0;               // Σ p · ln(p / q), p of the first model
  bool is_same_token = false;  // the likeliest
};

struct ModelComparison {
  std::vector<PromptComparison> prompts;
  double mean_kl = 0, largest_kl = 0;
  double top1_agreement = 0;  // share of prompts with the same likeliest token
};

ModelComparison compare_models(const std::string& model, const std::string& other, int n_threads,
                               const std::function<void(int done, int total)>& on_progress = {});

}  // namespace qwenvl
