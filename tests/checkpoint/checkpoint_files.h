// Small safetensors files and model folders for the tests of this folder.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {

// The bytes of a file: length, header, `n_data` bytes of data.
inline std::string safetensors_bytes(std::string_view header, std::size_t n_data,
                                     std::uint64_t length) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(length >> 8 * i & 0xff));
  return out + std::string(header) + std::string(n_data, '\x3f');
}
// Padded with spaces so that the data begins at a multiple of 8, as savers do.
inline std::string safetensors_bytes(std::string header, std::size_t n_data) {
  while (header.size() % 8 != 0) header.push_back(' ');
  return safetensors_bytes(header, n_data, header.size());
}

// {"name": {"dtype": …, "shape": …, "data_offsets": …}, …}, one entry at a time.
inline std::string entry(const std::string& name, const std::string& dtype,
                         const std::string& shape, std::uint64_t begin, std::uint64_t end) {
  return fmt::format(R"("{}": {{"dtype": "{}", "shape": {}, "data_offsets": [{}, {}]}})", name,
                     dtype, shape, begin, end);
}

// Passes when `text` has `part` in it; shows both otherwise.
inline testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not hold '" << part << "'";
}

}  // namespace qwenvl
