// Closed loading: each tensor is asked for by name and shape, and none may be left over.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace qwenvl {

class Binder {
 public:
  explicit Binder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // The tensor, checked. Missing or mis-shaped tensors are remembered (an empty view is returned)
  // so that one error names them all.
  Tensor bind(const std::string& name, const Shape& shape);
  // A matrix, which may be packed: then the tensor is its bytes and `packing` the name of the
  // format.
  struct Matrix {
    Tensor tensor;
    std::string packing;  // "" when the numbers are stored as they are
  };
  Matrix bind_matrix(const std::string& name, const Shape& shape);
  // Remembers something else that is wrong with a tensor.
  void refuse(const std::string& name, const std::string& problem);
  // Present in the checkpoint?
  bool has(const std::string& name) const;
  // Names that may exist and are not read (e.g. rotary buffers of old savers).
  void ignore(const std::string& name);
  // Throws bad_file naming everything missing, mis-shaped, of an unusable type, or left over.
  void finish() const;

 private:
  const Checkpoint& checkpoint_;
  std::set<std::string> used_;
  std::vector<std::string> problems_;
};

}  // namespace qwenvl
