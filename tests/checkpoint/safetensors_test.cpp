// The safetensors reader: what it accepts, and a table of broken files, each refused with one clear
// error that names the file.
#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"

namespace qwenvl {
namespace {

// Bytes at an aligned address, as a mapped file has them.
std::map<std::string, TensorEntry> parse(const std::string& bytes,
                                         std::vector<std::uint64_t>& storage,
                                         std::map<std::string, std::string>* metadata = nullptr) {
  storage.assign(bytes.size() / 8 + 1, 0);
  std::memcpy(storage.data(), bytes.data(), bytes.size());
  return parse_safetensors({reinterpret_cast<const std::byte*>(storage.data()), bytes.size()},
                           "some.safetensors", metadata);
}

TEST(Safetensors, ReadsNamesTypesShapesAndBytes) {
  std::vector<std::uint64_t> storage;
  std::map<std::string, std::string> metadata;
  const auto entries = parse(
      safetensors_bytes(
          "{\"__metadata__\": {\"format\": \"pt\"}, " + entry("b", "BF16", "[2, 3]", 4, 16) + ", " +
              entry("a", "F32", "[]", 0, 4) + ", " + entry("none", "I64", "[0, 7]", 16, 16) + "}",
          16),
      storage, &metadata);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries.at("a").shape, Shape());
  EXPECT_EQ(entries.at("a").type, DType::f32);
  EXPECT_EQ(entries.at("b").shape, (Shape{2, 3}));
  EXPECT_EQ(entries.at("b").type, DType::bf16);
  EXPECT_EQ(entries.at("b").bytes.size(), 12u);
  EXPECT_EQ(entries.at("b").bytes.data(), entries.at("a").bytes.data() + 4);
  EXPECT_EQ(entries.at("none").shape.count(), 0);
  EXPECT_EQ(metadata.at("format"), "pt");
}

TEST(Safetensors, ReadsEveryTypeWeHave) {
  std::vector<std::uint64_t> storage;
  const auto entries =
      parse(safetensors_bytes(
                "{" + entry("0", "I64", "[1]", 0, 8) + "," + entry("1", "I32", "[1]", 8, 12) + "," +
                    entry("2", "F16", "[1]", 12, 14) + "," + entry("3", "U8", "[1]", 14, 15) + "," +
                    entry("4", "I8", "[1]", 15, 16) + "}",
                16),
            storage);
  EXPECT_EQ(entries.at("0").type, DType::i64);
  EXPECT_EQ(entries.at("1").type, DType::i32);
  EXPECT_EQ(entries.at("2").type, DType::f16);
  EXPECT_EQ(entries.at("3").type, DType::u8);
  EXPECT_EQ(entries.at("4").type, DType::i8);
}

TEST(Safetensors, AnEmptyFileOfTensorsIsValid) {
  std::vector<std::uint64_t> storage;
  EXPECT_TRUE(parse(safetensors_bytes("{}", 0), storage).empty());
}

struct Broken {
  const char* name;
  std::string bytes;
  const char* message;  // part of the expected error
};

// One tensor x with these fields.
std::string one(const std::string& fields, std::size_t n_data = 4) {
  return safetensors_bytes("{\"x\": {" + fields + "}}", n_data);
}

std::string one_entry(const std::string& dtype, const std::string& shape, std::uint64_t begin,
                      std::uint64_t end, std::size_t n_data) {
  return safetensors_bytes("{" + entry("x", dtype, shape, begin, end) + "}", n_data);
}

std::string two(std::uint64_t begin_1, std::uint64_t end_1, std::uint64_t begin_2,
                std::uint64_t end_2, std::size_t n_data) {
  const auto shape = [](std::uint64_t n) { return "[" + std::to_string(n) + "]"; };
  return safetensors_bytes("{" + entry("x", "U8", shape(end_1 - begin_1), begin_1, end_1) + ", " +
                               entry("y", "U8", shape(end_2 - begin_2), begin_2, end_2) + "}",
                           n_data);
}

std::vector<Broken> broken_containers() {
  const std::string good = one_entry("F32", "[1]", 0, 4, 4);
  return {
      {"empty file", "", "bad_file: some.safetensors: 0 bytes, too short"},
      {"seven bytes", good.substr(0, 7), "too short"},
      {"only the length", good.substr(0, 8), "truncated"},
      {"half a header", good.substr(0, 30), "truncated"},
      {"no data", good.substr(0, good.size() - 4), "it is truncated"},
      {"half the data", good.substr(0, good.size() - 2), "it is truncated"},
      {"header length 2^63", safetensors_bytes("{}", 0, 1ull << 63), "expected at most 100000000"},
      {"header length 2^64-1", safetensors_bytes("{}", 0, ~0ull), "expected at most"},
      {"header over the limit", safetensors_bytes("{}", 0, 100'000'001), "expected at most"},
      {"header past the file", safetensors_bytes("{}", 0, 99'999'999), "truncated"},
      {"header of no bytes", safetensors_bytes("", 8, 0), "does not begin with '{'"},
      {"not JSON", safetensors_bytes("hello, world", 0), "does not begin with '{'"},
      {"a list", safetensors_bytes("[]", 0), "does not begin with '{'"},
      {"zip file", "PK\x03\x04 not a checkpoint", "expected at most"},
      {"text file", "version https://example", "expected at most"},
      {"JSON cut off", safetensors_bytes("{\"x\": {\"dtype\": \"F32\"", 0), "not valid JSON"},
      {"text after the JSON", safetensors_bytes("{} {}", 0), "not valid JSON"},
      {"invalid UTF-8", safetensors_bytes("{\"\xc3\x28\": {}}", 0), "not valid JSON"},
      {"zero bytes in the header", safetensors_bytes(std::string("{\0}", 3), 0), "not valid JSON"},
      {"NaN", one(R"("dtype": "F32", "shape": [NaN], "data_offsets": [0, 4])"), "not valid JSON"},
      {"deep nesting", safetensors_bytes("{\"x\":" + std::string(100000, '[') + "}", 0),
       "an array"},
      {"deep objects", safetensors_bytes("{\"x\":{\"dtype\":{\"a\":{}}}}", 0), "an object"},
      {"duplicate tensor",
       safetensors_bytes(
           "{" + entry("x", "U8", "[2]", 0, 2) + "," + entry("x", "U8", "[2]", 2, 4) + "}", 4),
       "has 'x' twice"},
      {"duplicate field",
       one(R"("dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4])"),
       "'x.dtype' twice"},
      {"duplicate metadata", safetensors_bytes(R"({"__metadata__": {}, "__metadata__": {}})", 0),
       "'__metadata__' twice"},
      {"duplicate metadata key", safetensors_bytes(R"({"__metadata__": {"a": "1", "a": "2"}})", 0),
       "twice"},
      {"metadata that is no map", safetensors_bytes(R"({"__metadata__": "pt"})", 0), "a string"},
      {"metadata that is no text", safetensors_bytes(R"({"__metadata__": {"a": 1}})", 0),
       "a number"},
      {"entry that is a number", safetensors_bytes(R"({"x": 5})", 0), "a number"},
      {"entry that is null", safetensors_bytes(R"({"x": null})", 0), "null"},
  };
}

std::vector<Broken> broken_entries() {
  return {
      {"no dtype", one(R"("shape": [1], "data_offsets": [0, 4])"), "'x' has no dtype"},
      {"no shape", one(R"("dtype": "F32", "data_offsets": [0, 4])"), "'x' has no shape"},
      {"no offsets", one(R"("dtype": "F32", "shape": [1])"), "data_offsets"},
      {"one offset", one(R"("dtype": "F32", "shape": [1], "data_offsets": [0])"), "data_offsets"},
      {"three offsets", one(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 2, 4])"),
       "more than 2"},
      {"unknown field", one(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1)"),
       "unknown field"},
      {"unknown dtype", one_entry("F33", "[1]", 0, 4, 4), "unknown dtype 'F33'"},
      {"dtype of another case", one_entry("f32", "[1]", 0, 4, 4), "unknown dtype"},
      {"dtype that is a number", one(R"("dtype": 32, "shape": [1], "data_offsets": [0, 4])"),
       "a number"},
      {"shape that is a text", one(R"("dtype": "F32", "shape": "1", "data_offsets": [0, 4])"),
       "a string"},
      {"shape of shapes", one(R"("dtype": "F32", "shape": [[1]], "data_offsets": [0, 4])"),
       "an array"},
      {"negative dimension", one(R"("dtype": "F32", "shape": [-1], "data_offsets": [0, 4])"),
       "a negative number"},
      {"fraction", one(R"("dtype": "F32", "shape": [1.0], "data_offsets": [0, 4])"), "a fraction"},
      {"dimension beyond 64 bits", one_entry("F32", "[36893488147419103232]", 0, 4, 4),
       "a fraction"},
      {"overflowing product", one_entry("F32", "[4294967296, 4294967296]", 0, 0, 0),
       "impossible shape"},
      {"overflow hidden by a zero", one_entry("F32", "[0, 4294967296, 4294967296]", 0, 0, 0),
       "impossible shape"},
      {"overflowing bytes", one_entry("F32", "[4611686018427387904]", 0, 0, 0), "impossible shape"},
      {"seven dimensions", one_entry("U8", "[1, 1, 1, 1, 1, 1, 1]", 0, 1, 1),
       "more than 6 numbers in shape"},
      {"half bytes", one_entry("F4", "[3]", 0, 1, 1), "impossible shape"},
      {"shape larger than its bytes", one_entry("F32", "[2]", 0, 4, 4),
       "takes 8 bytes, but its offsets span 4"},
      {"shape smaller than its bytes", one_entry("F32", "[1]", 0, 8, 8), "takes 4 bytes"},
      {"reversed offsets", one_entry("F32", "[1]", 4, 0, 4), "ends before it"},
      {"offsets past the file", one_entry("F32", "[1]", 1000, 1004, 4), "it is truncated"},
      {"offsets near 2^64", one_entry("F32", "[1]", ~0ull - 4, ~0ull, 4), "it is truncated"},
      {"overlap", two(0, 3, 2, 5, 5), "overlaps"},
      {"the same bytes twice", two(0, 4, 0, 4, 4), "overlaps"},
      {"gap", two(0, 2, 3, 5, 5), "a gap before it"},
      {"gap at the start", one_entry("U8", "[2]", 2, 4, 4), "a gap before it"},
      {"bytes after the last tensor", one_entry("U8", "[2]", 0, 2, 4),
       "2 bytes follow the last tensor"},
      {"type we do not read", one_entry("F8_E4M3", "[4]", 0, 4, 4),
       "unsupported: some.safetensors: tensor 'x' is stored as F8_E4M3"},
      {"double precision", one_entry("F64", "[1]", 0, 8, 8),
       "unsupported: some.safetensors: tensor 'x'"},
      {"unaligned",
       safetensors_bytes(
           "{" + entry("x", "U8", "[1]", 0, 1) + "," + entry("y", "F32", "[1]", 1, 5) + "}", 5),
       "unsupported: some.safetensors: tensor 'y' of F32 is not aligned"},
  };
}

TEST(Safetensors, BrokenFilesEachEndInOneErrorThatNamesTheFile) {
  std::vector<Broken> table = broken_containers();
  for (Broken& broken : broken_entries()) table.push_back(std::move(broken));
  EXPECT_GE(table.size(), 60u);
  for (const Broken& broken : table) {
    SCOPED_TRACE(broken.name);
    std::vector<std::uint64_t> storage;
    const std::string error = error_of([&] { parse(broken.bytes, storage); });
    EXPECT_TRUE(contains(error, broken.message));
    EXPECT_TRUE(contains(error, "some.safetensors"));
    EXPECT_LT(error.size(), 500u);
  }
}

TEST(Safetensors, EveryTruncationOfAGoodFileIsRefused) {
  const std::string good = one_entry("F32", "[3]", 0, 12, 12);
  for (std::size_t n = 0; n < good.size(); ++n) {
    std::vector<std::uint64_t> storage;
    EXPECT_NE(error_of([&] { parse(good.substr(0, n), storage); }), "") << n;
  }
}

TEST(Safetensors, HostileNamesAreShortenedAndEscapedInMessages) {
  std::vector<std::uint64_t> storage;
  const std::string name = "\\u0007" + std::string(100'000, 'n');
  const std::string error =
      error_of([&] { parse(safetensors_bytes("{\"" + name + "\": 5}", 0), storage); });
  EXPECT_TRUE(contains(error, "\\x07nnn"));
  EXPECT_LT(error.size(), 500u);
}

}  // namespace
}  // namespace qwenvl
