// Folders that say they are quantised and are not what they say: each refused with one clear error
// that names the folder and the matrix.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"
#include "checkpoint/foreign/scheme.h"
#include "checkpoint/weight_source.h"

namespace qwenvl {
namespace {

struct Stored {
  const char* name;
  const char* type;
  const char* shape;
  std::uint64_t n_bytes;
};

std::string file_of(const std::vector<Stored>& tensors, char fill = '\x3f') {
  std::string header = "{";
  std::uint64_t at = 0;
  for (const Stored& tensor : tensors) {
    if (at) header += ",";
    header += entry(tensor.name, tensor.type, tensor.shape, at, at + tensor.n_bytes);
    at += tensor.n_bytes;
  }
  std::string bytes = safetensors_bytes(header + "}", 0);
  return bytes + std::string(at, fill);
}

// What opening a folder of these tensors with this quantization_config ends in.
std::string folder_error(const std::string& settings, const std::string& file) {
  TemporaryFolder folder;
  folder.write("config.json",
               settings.empty() ? "{}" : "{\"quantization_config\": " + settings + "}");
  folder.write("model.safetensors", file);
  return error_of([&] { open_weight_source(folder.path()); });
}

const std::string kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 8})";
const std::string kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 8})";
const std::string k4Bit = R"({"quant_method": "bitsandbytes", "load_in_4bit": true})";
const std::string k8Bit = R"({"quant_method": "bitsandbytes", "load_in_8bit": true})";

const Stored kAwqWords = {"x.qweight", "I32", "[16, 2]", 128};
const Stored kGptqWords = {"x.qweight", "I32", "[2, 16]", 128};
const Stored kZeros = {"x.qzeros", "I32", "[2, 2]", 16};
const Stored kScales = {"x.scales", "F16", "[2, 16]", 64};

TEST(ForeignFolder, WholeMatricesOpen) {
  EXPECT_EQ(folder_error(kAwq, file_of({kAwqWords, kZeros, kScales})), "");
  EXPECT_EQ(folder_error(kGptq, file_of({kGptqWords, kZeros, kScales})), "");
  EXPECT_EQ(
      folder_error(k8Bit, file_of({{"x.SCB", "F32", "[2]", 8}, {"x.weight", "I8", "[2, 4]", 8}})),
      "");
}

TEST(ForeignFolder, AwqAndGptqPartsMustFitTogether) {
  struct Case {
    const char* name;
    const std::string& settings;
    std::vector<Stored> tensors;
    const char* message;
  };
  for (const Case& c : std::vector<Case>{
           {"no zeros", kAwq, {kAwqWords, kScales}, "'x.' lacks its tensor 'qzeros'"},
           {"no scales", kGptq, {kGptqWords, kZeros}, "'x.' lacks its tensor 'scales'"},
           {"words of floats",
            kAwq,
            {{"x.qweight", "F32", "[16, 2]", 128}, kZeros, kScales},
            "'qweight' is float32, expected int32"},
           {"flat words",
            kAwq,
            {{"x.qweight", "I32", "[32]", 128}, kZeros, kScales},
            "'qweight' is [32], expected [inputs, outputs / 8]"},
           {"no words",
            kGptq,
            {kZeros, kScales, {"x.qweight", "I32", "[0, 16]", 0}},
            "'qweight' is [0, 16]"},
           {"zeros of another width",
            kAwq,
            {kAwqWords, {"x.qzeros", "I32", "[2, 1]", 8}, kScales},
            "'qzeros' is [2, 1], expected [2, 2]"},
           {"a group too few",
            kGptq,
            {kGptqWords, kZeros, {"x.scales", "F16", "[1, 16]", 32}},
            "'scales' is [1, 16], expected [2, 16]"},
           {"scales of integers",
            kGptq,
            {kGptqWords, kZeros, {"x.scales", "I32", "[2, 16]", 128}},
            "'scales' is int32, expected float16 or bfloat16 or float32"},
           {"the other layout", kGptq, {kAwqWords, kZeros, kScales}, "'qweight' is [16, 2]"},
           {"short group list",
            kGptq,
            {kGptqWords, kZeros, kScales, {"x.g_idx", "I32", "[8]", 32}},
            "'g_idx' is [8], expected [16]"},
           {"groups that do not exist",
            kGptq,
            {kGptqWords, kZeros, kScales, {"x.g_idx", "I32", "[16]", 64}},
            "'g_idx' puts input 0 into group 1061109567, expected 0 to 1"},
           {"plain and packed",
            kAwq,
            {kAwqWords, kZeros, kScales, {"x.weight", "F16", "[2]", 4}},
            "'x.weight' is there both plain and quantised"},
           {"a part left over",
            kAwq,
            {{"x.qzeros", "I32", "[2, 2]", 16}},
            "tensor 'x.qzeros' is int32 and part of no quantised matrix"},
       }) {
    SCOPED_TRACE(c.name);
    const std::string error = folder_error(c.settings, file_of(c.tensors));
    EXPECT_TRUE(contains(error, c.message));
    EXPECT_TRUE(contains(error, "bad_file: /"));
  }
}

TEST(ForeignFolder, BitsandbytesPartsMustFitTogether) {
  const Stored halves = {"x.weight", "U8", "[8, 1]", 8};
  const Stored state = {"x.weight.quant_state.bitsandbytes__nf4", "U8", "[40]", 40};
  EXPECT_TRUE(contains(folder_error(k4Bit, file_of({halves, state})), "is no JSON object"));
  EXPECT_TRUE(contains(folder_error(k4Bit, file_of({halves})), "part of no quantised matrix"));
  EXPECT_TRUE(contains(folder_error(k8Bit, file_of({{"x.weight", "I8", "[2, 4]", 8}})),
                       "'x.' lacks its tensor 'SCB'"));
  EXPECT_TRUE(contains(
      folder_error(k8Bit, file_of({{"x.SCB", "F32", "[3]", 12}, {"x.weight", "I8", "[2, 4]", 8}})),
      "'SCB' is [3], expected 2 values"));
  EXPECT_TRUE(contains(folder_error(k8Bit, file_of({{"x.SCB", "F32", "[2]", 8},
                                                    {"x.weight", "I8", "[2, 4]", 8},
                                                    {"x.weight_format", "U8", "[]", 1}})),
                       "'weight_format' is 63"));
  EXPECT_TRUE(contains(
      folder_error(k8Bit,
                   file_of({{"x.SCB", "F32", "[2]", 8}, {"x.weight", "I8", "[2, 4]", 8}}, '\xff')),
      "nan, expected numbers"));
}

// A 4-bit matrix whose state is this JSON text.
std::string state_error(std::string json) {
  json.resize(160, ' ');
  const std::vector<Stored> tensors = {
      {"x.weight.absmax", "F32", "[1]", 4},
      {"x.weight.quant_map", "F32", "[16]", 64},
      {"x.weight", "U8", "[8, 1]", 8},
      {"x.weight.quant_state.bitsandbytes__nf4", "U8", "[160]", 160}};
  std::string file = file_of(tensors);
  file.replace(file.size() - 160, 160, json);
  return folder_error(k4Bit, file);
}

TEST(ForeignFolder, BitsandbytesStatesAreChecked) {
  EXPECT_EQ(state_error(R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 4]})"), "");
  for (const auto& [json, message] : std::vector<std::pair<const char*, const char*>>{
           {R"({"blocksize": 64, "shape": [4, 4]})", "'quant_type' is missing"},
           {R"({"quant_type": "fp4", "blocksize": 64, "shape": [4, 4]})", "expected 'nf4'"},
           {R"({"quant_type": "nf4", "shape": [4, 4]})", "'blocksize' is missing"},
           {R"({"quant_type": "nf4", "blocksize": 0, "shape": [4, 4]})", "a whole number"},
           {R"({"quant_type": "nf4", "blocksize": -64, "shape": [4, 4]})", "a whole number"},
           {R"({"quant_type": "nf4", "blocksize": 64, "shape": [16]})",
            "'shape' is not two numbers"},
           {R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 5]})", "8 bytes, expected 10"},
           {R"({"quant_type": "nf4", "blocksize": 8, "shape": [4, 4]})",
            "'absmax' is [1], expected [2]"},
           {R"({"quant_type": "nf4", "blocksize": 64, "shape": [1073741824, 1073741824]})",
            "8 bytes, expected"},
           {R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 4e30]})", "'shape' is not"},
           {R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 4], "nested_blocksize": 256})",
            "'absmax' is float32, expected uint8"}}) {
    EXPECT_TRUE(contains(state_error(json), message)) << json;
  }
}

TEST(ForeignFolder, SettingsThatAreNotReadAreRefused) {
  const auto error = [](const std::string& settings) {
    return error_of(
        [&] { parse_quantization("{\"quantization_config\": " + settings + "}", "", "folder"); });
  };
  for (
      const auto& [settings, message] : std::vector<std::pair<const char*, const char*>>{
          {R"({"quant_method": "fp8"})",
           "unsupported: folder/config.json: quantization_config: "
           "'quant_method' is 'fp8', expected 'awq', 'gptq' or"},
          {R"({})", "'quant_method' is ''"},
          {R"({"quant_method": 4})", "'quant_method' is '4', expected a text"},
          {R"([])", "expected an object"},
          {R"({"quant_method": "awq", "bits": 4, "group_size": 8, "version": "gemv"})", "'gemv'"},
          {R"({"quant_method": "awq", "bits": 3, "group_size": 8})", "'bits' is '3', expected 4"},
          {R"({"quant_method": "awq", "group_size": 8})", "'bits' is missing"},
          {R"({"quant_method": "gptq", "bits": 3, "group_size": 8})", "expected 4 or 8"},
          {R"({"quant_method": "gptq", "bits": 4, "group_size": 0})", "'group_size' is '0'"},
          {R"({"quant_method": "gptq", "bits": 4, "group_size": -2})", "a whole number from -1"},
          {R"({"quant_method": "gptq", "bits": 4, "group_size": 18446744073709551615})",
           "a whole number from -1"},
          {R"({"quant_method": "gptq", "bits": 4, "group_size": 8, "checkpoint_format": "marlin"})",
           "'checkpoint_format' is 'marlin'"},
          {R"({"quant_method": "bitsandbytes"})", "expected one of them true"},
          {R"({"quant_method": "bitsandbytes", "load_in_8bit": 1})", "true or false"}}) {
    EXPECT_TRUE(contains(error(settings), message)) << settings;
  }
  EXPECT_TRUE(contains(error_of([] { parse_quantization("[", "", "folder"); }), "no JSON object"));
}

// Deep enough to use up a stack, if printing what was found followed it down.
TEST(ForeignFolder, SettingsOfEndlessDepthAreRefused) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const std::string config =
      R"({"quantization_config": {"quant_method": "awq", "bits": )" + deep + "}}";
  EXPECT_TRUE(contains(error_of([&] { parse_quantization(config, "", "folder"); }),
                       "folder/config.json: nested deeper than 64 levels"));
}

TEST(ForeignFolder, OlderGptqFoldersSaySoInAFileOfTheirOwn) {
  const auto scheme =
      parse_quantization("{}", R"({"bits": 4, "group_size": 128, "desc_act": false})", "folder");
  EXPECT_EQ(scheme.method, QuantizationScheme::Method::gptq);
  EXPECT_EQ(scheme.group_size, 128);
  EXPECT_TRUE(scheme.zeros_are_one_less);
}

TEST(ForeignFolder, IntegersWithoutSettingsAreRefused) {
  EXPECT_TRUE(contains(folder_error("", file_of({kAwqWords, kZeros, kScales})),
                       "config.json has no quantization_config"));
}

}  // namespace
}  // namespace qwenvl
