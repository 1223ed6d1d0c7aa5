// Closed loading of small variants of the tiny checkpoint, and the same numbers in other formats.
#include "models/qwen2_5_vl/weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "models/model.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using qwenvl::testing::golden_path;
using Json = nlohmann::json;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A safetensors file taken apart: every tensor's shape and numbers.
struct StoredTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using StoredTensors = std::map<std::string, StoredTensor>;

StoredTensors tiny_tensors() {
  const std::string file = bytes_of(golden_path("checkpoints/tiny/model.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  StoredTensors tensors;
  const Json header = Json::parse(file.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors[name] = {entry["dtype"], entry["shape"], file.substr(8 + length + begin, end - begin)};
  }
  return tensors;
}

// A folder like the tiny checkpoint, with other tensors.
class Variant {
 public:
  explicit Variant(const StoredTensors& tensors) {
    std::string name = (std::filesystem::temp_directory_path() / "qwenvl_weights_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    folder_ = name;
    for (const char* file : {"config.json", "preprocessor_config.json"}) {
      std::filesystem::copy(golden_path(std::string("checkpoints/tiny/") + file), folder_ / file);
    }
    Json header;
    std::string data;
    for (const auto& [tensor_name, tensor] : tensors) {
      header[tensor_name] = {{"dtype", tensor.dtype},
                             {"shape", tensor.shape},
                             {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    std::ofstream file(folder_ / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), 8);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.write(data.data(), static_cast<std::streamsize>(data.size()));
  }
  ~Variant() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Variant(const Variant&) = delete;
  Variant& operator=(const Variant&) = delete;

  Checkpoint open() const { return Checkpoint::open(folder_); }

 private:
  std::filesystem::path folder_;
};

// The Error of loading a variant as a model.
std::string load_error(const StoredTensors& tensors) {
  const Variant variant(tensors);
  try {
    const Checkpoint checkpoint = variant.open();
    make_model(checkpoint, std::nullopt);
  } catch (const Error& error) {
    return fmt::format("{}: {}", name_of(error.kind()), error.what());
  }
  return "no error";
}

void expect_error(const StoredTensors& tensors, const std::vector<std::string>& parts) {
  const std::string error = load_error(tensors);
  for (const std::string& part : parts) {
    EXPECT_NE(error.find(part), std::string::npos)
        << "'" << error << "' does not hold '" << part << "'";
  }
}

// Names as canonical ones whatever the file calls them.
std::string stored_name(const StoredTensors& tensors, const std::string& canonical) {
  for (const auto& [name, tensor] : tensors) {
    if (canonical_tensor_name(name) == canonical) return name;
  }
  ADD_FAILURE() << "the tiny checkpoint has no " << canonical;
  return canonical;
}

TEST(Weights, an_unchanged_copy_loads) { EXPECT_EQ(load_error(tiny_tensors()), "no error"); }

TEST(Weights, each_missing_tensor_is_named) {
  const StoredTensors all = tiny_tensors();
  for (const std::string name :
       {"model.embed_tokens.weight", "model.norm.weight", "model.layers.2.self_attn.k_proj.bias",
        "model.layers.0.mlp.down_proj.weight", "visual.patch_embed.proj.weight",
        "visual.blocks.4.attn.qkv.bias", "visual.merger.ln_q.weight",
        "visual.merger.mlp.2.weight"}) {
    StoredTensors tensors = all;
    tensors.erase(stored_name(all, name));
    expect_error(tensors, {"bad_file: ", name});
  }
}

TEST(Weights, all_missing_tensors_are_named_at_once) {
  const StoredTensors all = tiny_tensors();
  StoredTensors tensors = all;
  tensors.erase(stored_name(all, "model.norm.weight"));
  tensors.erase(stored_name(all, "visual.blocks.0.norm1.weight"));
  expect_error(tensors, {"model.norm.weight", "visual.blocks.0.norm1.weight"});
}

TEST(Weights, a_tensor_of_another_shape_is_named_with_both_shapes) {
  StoredTensors tensors = tiny_tensors();
  StoredTensor& bias = tensors[stored_name(tensors, "model.layers.1.self_attn.q_proj.bias")];
  bias.shape = {32};
  bias.bytes.resize(64);
  expect_error(tensors, {"bad_file: ", "model.layers.1.self_attn.q_proj.bias", "[32]", "[64]"});
}

TEST(Weights, a_transposed_matrix_is_found) {
  StoredTensors tensors = tiny_tensors();
  StoredTensor& gate = tensors[stored_name(tensors, "model.layers.1.mlp.gate_proj.weight")];
  std::swap(gate.shape[0], gate.shape[1]);
  expect_error(tensors, {"model.layers.1.mlp.gate_proj.weight", "[64, 152]", "[152, 64]"});
}

TEST(Weights, a_tensor_left_over_is_named) {
  StoredTensors tensors = tiny_tensors();
  tensors["model.layers.3.input_layernorm.weight"] = {"BF16", {64}, std::string(128, '\0')};
  expect_error(tensors, {"bad_file: ", "model.layers.3.input_layernorm.weight"});
}

TEST(Weights, a_matrix_of_integers_is_refused) {
  StoredTensors tensors = tiny_tensors();
  StoredTensor& gate = tensors[stored_name(tensors, "model.layers.1.mlp.gate_proj.weight")];
  gate.dtype = "I8";
  gate.bytes.resize(gate.bytes.size() / 2);
  expect_error(tensors, {"model.layers.1.mlp.gate_proj.weight"});
}

// ---- formats ---------------------------------------------------------------------------------

std::uint16_t half_of(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const int exponent = static_cast<int>(bits >> 23 & 0xff) - 112;
  if (exponent <= 0 || exponent >= 31) return 0;  // kept out by is_half
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (exponent << 10) |
                                    (bits >> 13 & 0x3ff));
}
bool is_half(float value) { return value == 0 || to_float(fp16{half_of(value)}) == value; }

// All numbers written as `dtype`; those that half cannot hold become 0 in every format alike.
StoredTensors in_format(const std::string& dtype) {
  StoredTensors tensors = tiny_tensors();
  for (auto& [name, tensor] : tensors) {
    std::string bytes;
    const auto put = [&](auto number) {
      bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    };
    for (std::size_t i = 0; i < tensor.bytes.size(); i += 2) {
      bf16 stored;
      std::memcpy(&stored.bits, tensor.bytes.data() + i, 2);
      const float value = is_half(to_float(stored)) ? to_float(stored) : 0;
      dtype == "F32" ? put(value) : dtype == "F16" ? put(half_of(value)) : put(to_bf16(value).bits);
    }
    tensor.dtype = dtype;
    tensor.bytes = bytes;
  }
  return tensors;
}

std::vector<float> logits_of(const std::string& dtype, std::optional<DType> compute) {
  const Variant variant(in_format(dtype));
  const Checkpoint checkpoint = variant.open();
  const auto model = make_model(checkpoint, compute);
  // Tables that multiply bf16 as it is sum in an order of their own.
  const auto backend =
      compute == DType::f32 ? make_backend("cpu", 1) : make_cpu_backend(1, cpu::kernels_portable);
  constexpr std::int64_t kTokens = 9;
  std::vector<std::byte> page(static_cast<std::size_t>(model->info().kv.page_bytes()));
  Batch batch;
  for (int i = 0; i < kTokens; ++i) batch.ids.push_back(i * 37 + 1);
  for (int axis = 0; axis < 3; ++axis) {
    for (int i = 0; i < kTokens; ++i) batch.positions.push_back(i);
  }
  batch.kv = {model->info().kv, {{0, kTokens, 0, {page.data()}}}};
  batch.logit_rows.resize(kTokens);
  std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
  std::vector<float> logits(static_cast<std::size_t>(kTokens * model->info().vocabulary));
  Workspace workspace;
  model->forward(*backend, workspace, batch,
                 Tensor(logits.data(), DType::f32, {kTokens, model->info().vocabulary}));
  return logits;
}

TEST(Weights, the_same_numbers_in_another_format_give_the_same_logits) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const std::vector<float> expected = logits_of("BF16", compute);
    EXPECT_GT(*std::max_element(expected.begin(), expected.end()), 0.01f);
    EXPECT_EQ(logits_of("F16", compute), expected) << name_of(compute);
    EXPECT_EQ(logits_of("F32", compute), expected) << name_of(compute);
  }
}

TEST(Weights, the_checkpoint_decides_the_compute_type) {
  for (const auto& [dtype, compute] : {std::pair("BF16", DType::bf16), std::pair("F16", DType::f32),
                                       std::pair("F32", DType::f32)}) {
    const Variant variant(in_format(dtype));
    const Checkpoint checkpoint = variant.open();
    EXPECT_EQ(make_model(checkpoint, std::nullopt)->info().compute, compute) << dtype;
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
