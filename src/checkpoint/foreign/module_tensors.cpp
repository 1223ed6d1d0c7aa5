// Takes the parts of a quantised matrix out of a checkpoint, checked.
// Before: folder_source.cpp.   After: awq.cpp, gptq.cpp, bitsandbytes.cpp.
#include "checkpoint/foreign/module_tensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/numbers.h"

namespace qwenvl {
namespace {

template <class Stored>
void convert(const TensorEntry& entry, std::int64_t first, std::int64_t n, float* out) {
  const auto* stored = reinterpret_cast<const Stored*>(entry.bytes.data()) + first;
  for (std::int64_t i = 0; i < n; ++i) out[i] = to_float(stored[i]);
}

}  // namespace

std::string ModuleTensors::where() const {
  return checkpoint_.folder().string() + ": " + quoted(prefix_);
}

const TensorEntry* ModuleTensors::find(const std::string& part) const {
  const auto at = checkpoint_.tensors().find(prefix_ + part);
  if (at == checkpoint_.tensors().end()) return nullptr;
  used_.insert(at->first);
  return &at->second;
}

const TensorEntry& ModuleTensors::take(const std::string& part,
                                       std::initializer_list<DType> types) const {
  const TensorEntry* entry = find(part);
  if (!entry) fail(ErrorKind::bad_file, "{} lacks its tensor '{}'", where(), part);
  if (std::find(types.begin(), types.end(), entry->type) == types.end()) {
    std::vector<std::string> names;
    for (DType type : types) names.push_back(name_of(type));
    fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {}", where(), part, name_of(entry->type),
         fmt::join(names, " or "));
  }
  return *entry;
}

const TensorEntry& ModuleTensors::take(const std::string& part, std::initializer_list<DType> types,
                                       const Shape& shape) const {
  const TensorEntry& entry = take(part, types);
  if (entry.shape != shape) {
    fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {}", where(), part, entry.shape.str(),
         shape.str());
  }
  return entry;
}

std::vector<float> ModuleTensors::floats(const std::string& part, std::int64_t count) const {
  const TensorEntry& entry = take(part, {DType::f32, DType::bf16, DType::f16});
  if (entry.shape.count() != count) {
    fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {} values", where(), part,
         entry.shape.str(), count);
  }
  std::vector<float> values(static_cast<std::size_t>(count));
  read_floats(entry, 0, count, values.data());
  for (float value : values) {
    if (!std::isfinite(value)) {
      fail(ErrorKind::bad_file, "{}: '{}' holds {}, expected numbers", where(), part, value);
    }
  }
  return values;
}

bool is_floating(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16;
}

void read_floats(const TensorEntry& entry, std::int64_t first, std::int64_t n, float* out) {
  switch (entry.type) {
    case DType::f32: return convert<float>(entry, first, n, out);
    case DType::bf16: return convert<bf16>(entry, first, n, out);
    case DType::f16: return convert<fp16>(entry, first, n, out);
    default: QWENVL_CHECK(false, "{} read as floats", name_of(entry.type));
  }
}

std::int64_t groups_of(std::int64_t width, std::int64_t group_size) {
  return group_size < 0 ? 1 : (width + group_size - 1) / group_size;
}

}  // namespace qwenvl
