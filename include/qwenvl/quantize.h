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
  std::string projector = "";   // vision file of a GGUF model; "": the *mmproj*.gguf beside it
};

struct QuantizedTensor {
  std::string name;
  std::string packing;  // "int4", "int8", "int8_grouped"; "bfloat16" … for what stays as it is
  std::vector<std::int64_t> shape;
  std::string before;  // how it was stored: "bf16", "Q4_K", "gptq 4-bit g128" …
  std::uint64_t bytes = 0;
  double relative_error = 0;  // √(Σ (w − w')² / Σ w²)
};

struct QuantizeReport {
  std::vector<QuantizedTensor> tensors;  // in the order of the file
  std::uint64_t bytes = 0;
  double seconds = 0;
};

// Numbers done and in all, and the tensor being worked on.
using QuantizeProgress =
    std::function<void(std::uint64_t done, std::uint64_t total, const std::string& tensor)>;

// Writes a folder like the model's, its matrices packed (docs/quantisation.md). Works panel by
// panel: memory does not grow with the model. The folder appears when it is complete; an
// interrupted run leaves at most `out` + ".part".
QuantizeReport quantize(const QuantizeOptions& options, const QuantizeProgress& on_progress = {});

// How far a model's answers are from another's: the scores of the first answer token to questions
// about drawn pictures and to plain text.
struct ModelComparison {
  int n_prompts = 0;
  double mean_kl = 0, largest_kl = 0;  // Σ p · ln(p / q), p of the first model
  double top1_agreement = 0;           // share of prompts with the same likeliest token
};

ModelComparison compare_models(const std::string& model, const std::string& other, int n_threads,
                               const std::function<void(int done, int total)>& on_progress = {});

}  // namespace qwenvl
