// Any bytes as a folder of AWQ, GPTQ or bitsandbytes: rows that can be read, or one Error.
#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/foreign/folder_source.h"
#include "checkpoint/foreign/scheme.h"
#include "fuzz/outcome.h"

namespace {

namespace fs = std::filesystem;
using qwenvl::fuzz::expect_error_or_success;
using qwenvl::fuzz::require;

// One folder for all inputs of a run, removed at its end.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "qwenvl_fuzz_XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  void write(const char* name, std::string_view bytes) const {
    std::ofstream file(path_ / name, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    require(file.good());
  }

 private:
  fs::path path_;
};

constexpr std::size_t kDataBytes = 4096;

// The length of the header goes before it, and data that are too short are filled up: mutations are
// not spent on finding either length.
std::string safetensors_file(std::string header, std::string data) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  data.resize(kDataBytes, '\1');
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(header.size() >> 8 * i & 0xff));
  return file + header + data;
}

// Up to the next line break, which is taken away with it; everything when there is none.
std::string next_line(std::string_view& input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string line(input.substr(0, end));
  input.remove_prefix(std::min(end + 1, input.size()));
  return line;
}

void read_first_and_last_rows(const qwenvl::WeightSource& source) {
  for (const auto& [name, tensor] : source.tensors()) {
    // A vector counts as one row of many numbers; one that is empty has rows of none.
    const std::int64_t n = tensor->n_rows(), width = tensor->row_width();
    require(n >= 0 && width >= 0);
    if (n == 0 || width > 1 << 20) continue;
    std::vector<float> row(static_cast<std::size_t>(width));
    tensor->read_rows(0, 1, row.data());
    tensor->read_rows(n - 1, 1, row.data());
    source.release_pages(name);
  }
}

}  // namespace

// An input is quantization_config on one line, the header of model.safetensors on the next, and
// data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string settings = next_line(input);
  const std::string header = next_line(input);
  expect_error_or_success([&] { qwenvl::parse_quantization("{}", settings, "input"); });
  folder.write("config.json", "{\"quantization_config\": " + settings + "}");
  folder.write("model.safetensors", safetensors_file(header, std::string(input)));
  expect_error_or_success(
      [&] { read_first_and_last_rows(*qwenvl::open_folder_source(folder.path())); });
  return 0;
}
