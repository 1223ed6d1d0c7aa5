// Any bytes as a GGUF file: tensors inside the file, texts and rows that can be read, or one Error.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/gguf/gguf.h"
#include "checkpoint/gguf/open.h"
#include "checkpoint/gguf/texts.h"
#include "fuzz/outcome.h"

namespace {

using qwenvl::fuzz::expect_error_or_success;
using qwenvl::fuzz::require;

void read_first_and_last_row(const qwenvl::WeightSource::Tensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    require(tensor->n_rows() >= 1 && tensor->row_width() >= 1);
    std::vector<float> row(static_cast<std::size_t>(tensor->row_width()));
    tensor->read_rows(0, 1, row.data());
    tensor->read_rows(tensor->n_rows() - 1, 1, row.data());
  }
}

// What the reader promises about every tensor, and all that may be asked of a whole file; it stands
// for both files of a model, so that each of their readers meets it.
void check_file(std::span<const std::byte> bytes) {
  const qwenvl::GgufFile file = qwenvl::parse_gguf(bytes, "input");
  std::size_t total = 0;
  for (const auto& [name, tensor] : file.tensors) {
    require(tensor.shape.count() >= 1);
    require(tensor.bytes.data() >= bytes.data());
    require(tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size());
    require(static_cast<std::size_t>(tensor.shape.count() / tensor.type->n_values *
                                     tensor.type->n_bytes) == tensor.bytes.size());
    total += tensor.bytes.size();
  }
  require(total <= bytes.size());
  const qwenvl::GgufFile none{qwenvl::GgufMetadata("none"), {}};
  expect_error_or_success([&] { qwenvl::config_json_from_gguf(file, file); });
  expect_error_or_success([&] { qwenvl::preprocessor_config_json_from_gguf(file); });
  expect_error_or_success([&] { qwenvl::generation_config_json_from_gguf(file); });
  expect_error_or_success([&] { qwenvl::tokenizer_json_from_gguf(file.metadata); });
  expect_error_or_success([&] { qwenvl::tokenizer_config_json_from_gguf(file.metadata); });
  expect_error_or_success(
      [&] { read_first_and_last_row(qwenvl::tensors_from_gguf(file, "input", none, "none")); });
  expect_error_or_success(
      [&] { read_first_and_last_row(qwenvl::tensors_from_gguf(none, "none", file, "input")); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  expect_error_or_success([&] { check_file(std::as_bytes(std::span(data, size))); });
  return 0;
}
