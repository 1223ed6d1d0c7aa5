// The tensors a quantised matrix is made of, taken out of a checkpoint with their types and shapes
// checked.
// Before: folder_source.cpp found a quantised module.   After: awq.cpp, gptq.cpp, bitsandbytes.cpp.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace qwenvl {

class ModuleTensors {
 public:
  // `prefix` is what the names of the parts begin with, its dot included.
  ModuleTensors(const Checkpoint& checkpoint, std::string prefix, std::set<std::string>& used)
      : checkpoint_(checkpoint), prefix_(std::move(prefix)), used_(used) {}

  const std::string& prefix() const { return prefix_; }
  std::string file_of(const std::string& part) const { return checkpoint_.file_of(prefix_ + part); }
  std::string where() const;  // the folder and the module, for messages

  // The part, marked as used; null when there is none.
  const TensorEntry* find(const std::string& part) const;
  // Throws bad_file when it is missing or of another type.
  const TensorEntry& take(const std::string& part, std::initializer_list<DType> types) const;
  // The same, and of this shape.
  const TensorEntry& take(const std::string& part, std::initializer_list<DType> types,
                          const Shape& shape) const;
  // Values of a part of a floating-point type, whatever its shape; throws bad_file when there are
  // not as many or one is not finite. Meant for tables and small vectors.
  std::vector<float> floats(const std::string& part, std::int64_t count) const;

 private:
  const Checkpoint& checkpoint_;
  std::string prefix_;
  std::set<std::string>& used_;
};

// n values of f32, bf16 or f16 from element `first` of a tensor, as float32.
void read_floats(const TensorEntry& entry, std::int64_t first, std::int64_t n, float* out);
bool is_floating(DType type);

// How many scales a row of `width` values has; at least 1.
std::int64_t groups_of(std::int64_t width, std::int64_t group_size);

}  // namespace qwenvl
