// Closed loading. Before: checkpoint.cpp.   After: the weight tables of the models.
// Problems are collected, because a wrong configuration makes hundreds and one by one they teach
// nothing.
#include "checkpoint/binder.h"

#include <algorithm>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::size_t kMaxListed = 12;

bool is_weight_type(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16;
}

// Savers of quantised models leave these names beside (or instead of) "….weight". Folders that say
// in their configuration what they are have been converted before they come here.
struct QuantisedSign {
  std::string_view part;
  const char* format;
  const char* advice;
};

constexpr const char* kSayIt =
    "config.json has no quantization_config that says how it is stored; put back the one it was "
    "saved with";
constexpr const char* kNotRead =
    "which is not read; expected plain weights, AWQ, GPTQ, bitsandbytes or GGUF";
constexpr const char* kMerge = "merge it into its base model and save that";

constexpr QuantisedSign kQuantisedSigns[] = {
    {".g_idx", "a GPTQ checkpoint", kSayIt},
    {".qweight", "an AWQ or GPTQ checkpoint", kSayIt},
    {".qzeros", "an AWQ or GPTQ checkpoint", kSayIt},
    {".absmax", "a bitsandbytes 4-bit checkpoint", kSayIt},
    {".quant_map", "a bitsandbytes 4-bit checkpoint", kSayIt},
    {".SCB", "a bitsandbytes 8-bit checkpoint", kSayIt},
    {".weight_packed", "a compressed-tensors checkpoint", kNotRead},
    {".weight_scale", "a compressed-tensors or fp8 checkpoint", kNotRead},
    {".lora_A.", "a LoRA adapter", kMerge},
    {".lora_B.", "a LoRA adapter", kMerge},
};

// "; looks like …" when a name tells, else "".
std::string guess_format(const std::vector<std::string>& left_over) {
  for (const QuantisedSign& sign : kQuantisedSigns) {
    for (const std::string& name : left_over) {
      if (name.find(sign.part) == name.npos) continue;
      return fmt::format("; this looks like {}: {}", sign.format, sign.advice);
    }
  }
  return "";
}

}  // namespace

bool Binder::has(const std::string& name) const { return checkpoint_.tensors().contains(name); }

void Binder::ignore(const std::string& name) { used_.insert(name); }

Tensor Binder::bind(const std::string& name, const Shape& shape) {
  const auto at = checkpoint_.tensors().find(name);
  if (at == checkpoint_.tensors().end()) {
    problems_.push_back(fmt::format("{} is missing, expected {}", quoted(name), shape.str()));
    return {};
  }
  used_.insert(name);
  const TensorEntry& entry = at->second;
  if (entry.shape != shape) {
    problems_.push_back(fmt::format("{} is {}, expected {} ({})", quoted(name), entry.shape.str(),
                                    shape.str(), checkpoint_.file_of(name)));
    return {};
  }
  if (!is_weight_type(entry.type)) {
    problems_.push_back(fmt::format("{} is {}, expected bfloat16, float16 or float32 ({})",
                                    quoted(name), name_of(entry.type), checkpoint_.file_of(name)));
    return {};
  }
  return entry.view();
}

Binder::Matrix Binder::bind_matrix(const std::string& name, const Shape& shape) {
  const PackedTensor* packed = checkpoint_.packed(name);
  if (!packed) return {bind(name, shape), ""};
  used_.insert(name);
  if (packed->shape != shape) {
    refuse(name, fmt::format("is {}, packed as {}, expected {}", packed->shape.str(),
                             packed->packing, shape.str()));
    return {};
  }
  return {checkpoint_.tensors().at(name).view(), packed->packing};
}

void Binder::refuse(const std::string& name, const std::string& problem) {
  problems_.push_back(fmt::format("{} {} ({})", quoted(name), problem, checkpoint_.file_of(name)));
}

void Binder::finish() const {
  std::vector<std::string> problems = problems_;
  std::vector<std::string> left_over;
  for (const auto& [name, entry] : checkpoint_.tensors()) {
    if (used_.contains(name)) continue;
    left_over.push_back(name);
    problems.push_back(fmt::format("{} {} is left over, expected no such tensor ({})", quoted(name),
                                   entry.shape.str(), checkpoint_.file_of(name)));
  }
  if (problems.empty()) return;
  const std::size_t n_listed = std::min(problems.size(), kMaxListed);
  const std::string more =
      problems.size() > n_listed ? fmt::format("; and {} more", problems.size() - n_listed) : "";
  fail(ErrorKind::bad_file, "checkpoint: {}{}{} (in {})",
       fmt::join(problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(n_listed), "; "),
       more, guess_format(left_over), checkpoint_.folder().string());
}

}  // namespace qwenvl
