// The tiny checkpoint in other programs' formats: the decoder's matrices are replaced by random
// ones. What their numbers mean is tested in tests/checkpoint.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "core/numbers.h"

namespace qwenvl {

class ForeignFolder {
 public:
  using Replace = void (ForeignFolder::*)(const std::string& module, std::int64_t n_out,
                                          std::int64_t n_in);

  ForeignFolder(const std::filesystem::path& folder, const std::string& settings, Replace replace) {
    const Checkpoint tiny =
        Checkpoint::open(std::string(QWENVL_TEST_DATA) + "/golden/checkpoints/tiny");
    for (const auto& [name, entry] : tiny.tensors()) {
      if (name.starts_with("model.layers.") && entry.shape.rank() == 2) {
        (this->*replace)(name.substr(0, name.size() - 6), entry.shape[0], entry.shape[1]);
      } else {
        add(name, entry.type, entry.shape, {entry.bytes.begin(), entry.bytes.end()});
      }
    }
    std::filesystem::create_directories(folder);
    for (const auto& file : std::filesystem::directory_iterator(tiny.folder())) {
      if (file.path().extension() == ".json") std::filesystem::copy(file.path(), folder);
    }
    auto config = nlohmann::ordered_json::parse(tiny.text_of("config.json"));
    config["quantization_config"] = nlohmann::ordered_json::parse(settings);
    std::ofstream(folder / "config.json") << config.dump(1);
    SafetensorsWriter writer(folder / "model.safetensors", declared_, {{"format", "pt"}});
    for (const std::vector<std::byte>& bytes : data_) writer.write(bytes);
    writer.finish();
  }

  void awq(const std::string& module, std::int64_t n_out, std::int64_t n_in) {
    random_words(module + "qweight", {n_in, n_out / 8});
    random_words(module + "qzeros", {n_in / 8, n_out / 8});
    scales(module + "scales", DType::f16, {n_in / 8, n_out}, 0.02F);
  }
  void gptq(const std::string& module, std::int64_t n_out, std::int64_t n_in) {
    random_words(module + "qweight", {n_in / 8, n_out});
    random_words(module + "qzeros", {n_in / 8, n_out / 8});
    scales(module + "scales", DType::f16, {n_in / 8, n_out}, 0.02F);
  }
  void bits_4(const std::string& module, std::int64_t n_out, std::int64_t n_in) {
    const std::string name = module + "weight", state_name = ".quant_state.bitsandbytes__nf4";
    add(name, DType::u8, {n_out * n_in / 2, 1}, random_bytes(n_out * n_in / 2));
    scales(name + ".absmax", DType::f32, {(n_out * n_in + 63) / 64}, 0.2F);
    scales(name + ".quant_map", DType::f32, {16}, 1);
    std::string state =
        fmt::format(R"({{"quant_type": "nf4", "blocksize": 64, "shape": [{}, {}]}})", n_out, n_in);
    state.resize((state.size() + 3) / 4 * 4, ' ');  // what follows is aligned
    const auto* text = reinterpret_cast<const std::byte*>(state.data());
    add(name + state_name, DType::u8, {static_cast<std::int64_t>(state.size())},
        {text, text + state.size()});
  }
  void bits_8(const std::string& module, std::int64_t n_out, std::int64_t n_in) {
    add(module + "weight", DType::i8, {n_out, n_in}, random_bytes(n_out * n_in));
    scales(module + "SCB", DType::f32, {n_out}, 0.2F);
  }

 private:
  void add(const std::string& name, DType type, const Shape& shape, std::vector<std::byte> bytes) {
    declared_.push_back({name, type, shape});
    data_.push_back(std::move(bytes));
  }
  std::vector<std::byte> random_bytes(std::int64_t n) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(n));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }
  void random_words(const std::string& name, const Shape& shape) {
    add(name, DType::i32, shape, random_bytes(shape.count() * 4));
  }
  void scales(const std::string& name, DType type, const Shape& shape, float largest) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(shape.count()) * size_of(type));
    for (std::int64_t i = 0; i < shape.count(); ++i) {
      const float value = largest * static_cast<float>(random_() % 1000) / 1000;
      if (type == DType::f32) {
        reinterpret_cast<float*>(bytes.data())[i] = value;
      } else {
        reinterpret_cast<fp16*>(bytes.data())[i] = to_fp16(value);
      }
    }
    add(name, type, shape, std::move(bytes));
  }

  std::mt19937 random_{7};
  std::vector<SafetensorsWriter::Declared> declared_;
  std::vector<std::vector<std::byte>> data_;
};

}  // namespace qwenvl
