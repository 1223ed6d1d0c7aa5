// Runs a model over the items of a calibration folder and collects how the inputs of its matrices
// vary.
// Before: calibration_items.cpp has read the folder.   After: error_feedback.cpp rounds with it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "engine/quantize/calibration_items.h"
#include "engine/quantize/input_moment.h"
#include "engine/quantize/quantize_plan.h"
#include "models/model.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

class Calibration {
 public:
  // Reads, decodes and lays out every item once, so that what cannot be used is refused before any
  // work. Throws bad_request, bad_file. The checkpoint must outlive this.
  Calibration(const Checkpoint& checkpoint, const std::filesystem::path& folder, int n_threads);

  // The moments of some matrices, by name, over all items; matrices that no item reached are left
  // out (the vision tower's where all items are text). Items run no further than the last of these
  // matrices. `on_item` is told each item's name.
  std::map<std::string, InputMoment> collect(
      std::span<const PlannedTensor> matrices,
      const std::function<void(const std::string&)>& on_item);

  Backend& backend() { return *backend_; }
  int n_items() const { return static_cast<int>(items_.size()); }
  std::int64_t n_tokens() const { return n_tokens_; }

 private:
  struct Pass;  // what is collected, and when an item has shown enough
  struct Prepared;

  Prepared prepare(const CalibrationItem& item) const;
  void run(std::size_t item, Pass& pass);
  std::vector<std::byte> encode(Backend& backend, const VisionInput& input);
  void read_prompt(Backend& backend, const Prepared& prepared, std::size_t item);

  const Checkpoint& checkpoint_;
  const std::vector<CalibrationItem> items_;
  const Tokenizer tokenizer_;
  const std::unique_ptr<Model> model_;
  const std::unique_ptr<Backend> backend_;
  Workspace workspace_;
  // Of each item's pictures, once the tower has been run to its end.
  std::vector<std::vector<std::vector<std::byte>>> features_;
  std::int64_t n_tokens_ = 0;
};

}  // namespace qwenvl
