// A folder of safetensors as a source of weights: quantised modules become one matrix each.
// Before: weight_source.cpp.   After: whoever reads rows.
#include "checkpoint/foreign/folder_source.h"

#include <set>

#include "checkpoint/checkpoint.h"
#include "checkpoint/foreign/formats.h"
#include "checkpoint/foreign/scheme.h"
#include "core/check.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;
using Method = QuantizationScheme::Method;

// As users call the types of published weights.
const char* short_name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    default: return name_of(type);
  }
}

class PlainTensor : public StoredTensor {
 public:
  PlainTensor(const TensorEntry& entry, const std::string& file)
      : StoredTensor(entry.shape, short_name_of(entry.type), file), entry_(entry) {}
  bool is_quantised() const override { return false; }

 private:
  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    read_floats(entry_, first * row_width(), n * row_width(), out);
  }
  TensorEntry entry_;
};

class FolderSource : public WeightSource {
 public:
  explicit FolderSource(const fs::path& folder) : checkpoint_(Checkpoint::open(folder)) {
    scheme_ = parse_quantization(checkpoint_.text_of("config.json"),
                                 checkpoint_.text_of("quantize_config.json"), folder.string());
    for (const auto& [name, entry] : checkpoint_.tensors()) add_quantised(name, entry);
    for (const auto& [name, entry] : checkpoint_.tensors()) {
      if (!used_.contains(name)) add_plain(name, entry);
    }
  }

  const fs::path& path() const override { return checkpoint_.folder(); }
  const Tensors& tensors() const override { return tensors_; }
  std::string text_of(const std::string& file_name) const override {
    return checkpoint_.text_of(file_name);
  }
  // All parts of a quantised matrix lie under its module's name.
  void release_pages(const std::string& name) const noexcept override {
    checkpoint_.release_pages(std::string_view(name).substr(0, name.rfind('.') + 1));
  }

 private:
  // The matrix that this tensor is the main part of, if it is one.
  void add_quantised(const std::string& name, const TensorEntry& entry) {
    switch (scheme_.method) {
      case Method::none: return;
      case Method::awq:
      case Method::gptq: return add_packed(name);
      case Method::bitsandbytes: return add_bitsandbytes(name, entry);
    }
  }

  void add_packed(const std::string& name) {
    constexpr std::string_view kEnding = ".qweight";
    if (!name.ends_with(kEnding)) return;
    const std::string prefix = name.substr(0, name.size() - kEnding.size() + 1);
    const ModuleTensors parts(checkpoint_, prefix, used_);
    add(prefix + "weight",
        scheme_.method == Method::awq ? read_awq(parts, scheme_) : read_gptq(parts, scheme_));
  }

  void add_bitsandbytes(const std::string& name, const TensorEntry& entry) {
    constexpr std::string_view kEnding = ".weight";
    if (!name.ends_with(kEnding)) return;
    if (entry.type == DType::i8) {
      const std::string prefix = name.substr(0, name.size() - kEnding.size() + 1);
      return add(name, read_bitsandbytes_8bit(ModuleTensors(checkpoint_, prefix, used_)));
    }
    for (const char* quant_type : {"nf4", "fp4"}) {
      const std::string state = name + ".quant_state.bitsandbytes__" + quant_type;
      if (!checkpoint_.tensors().contains(state)) continue;
      used_.insert(name);
      const ModuleTensors parts(checkpoint_, name + ".", used_);
      return add(name, read_bitsandbytes_4bit(parts, entry, quant_type));
    }
  }

  void add_plain(const std::string& name, const TensorEntry& entry) {
    if (!is_floating(entry.type)) {
      fail(ErrorKind::bad_file, "{}: tensor {} is {} and part of no quantised matrix; {}",
           checkpoint_.folder().string(), quoted(name), name_of(entry.type),
           scheme_.method == Method::none
               ? "config.json has no quantization_config, which would say what it is"
               : "expected bf16, f16 or f32");
    }
    add(name, std::make_unique<PlainTensor>(entry, checkpoint_.file_of(name)));
  }

  void add(const std::string& name, StoredTensorPointer tensor) {
    if (!tensors_.emplace(name, std::move(tensor)).second) {
      fail(ErrorKind::bad_file, "{}: {} is there both plain and quantised",
           checkpoint_.folder().string(), quoted(name));
    }
  }

  Checkpoint checkpoint_;
  QuantizationScheme scheme_;
  std::set<std::string> used_;
  Tensors tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_folder_source(const fs::path& folder) {
  return std::make_unique<FolderSource>(folder);
}

}  // namespace qwenvl
