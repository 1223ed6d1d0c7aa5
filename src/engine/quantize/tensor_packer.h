// Writes the tensors of a source, plain or packed, a few rows at a time.
// Before: quantize.cpp goes through the plan.   After: the writer's file.
#pragma once

#include <cstdint>
#include <functional>

#include "backend/backend.h"
#include "checkpoint/safetensors_writer.h"
#include "core/thread_pool.h"
#include "engine/quantize/input_moment.h"
#include "engine/quantize/quantize_plan.h"

namespace qwenvl {

class TensorPacker {
 public:
  // on_numbers is told how many more numbers are done.
  TensorPacker(int n_threads, SafetensorsWriter& writer,
               std::function<void(std::int64_t n)> on_numbers)
      : pool_(n_threads), writer_(writer), on_numbers_(std::move(on_numbers)) {}

  // All throw bad_file for numbers that are not finite.
  void write_plain(const PlannedTensor& tensor);
  // Both return √(Σ (w − w')² / Σ w²).
  // Each number to the nearest:
  double write_packed(const PlannedTensor& tensor);
  // With regard to the inputs; the whole matrix is in memory. `moment` is used up.
  double write_packed(const PlannedTensor& tensor, Backend& backend, InputMoment& moment);

 private:
  ThreadPool pool_;
  SafetensorsWriter& writer_;
  const std::function<void(std::int64_t)> on_numbers_;
};

}  // namespace qwenvl
