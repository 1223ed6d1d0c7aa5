// The metadata of packed tensors: what is written is read, and what does not fit is refused.
#include "checkpoint/packed_tensors.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"

namespace qwenvl {
namespace {

using Metadata = std::map<std::string, std::string>;

std::string problem_of(const Metadata& metadata) {
  const std::map<std::string, TensorEntry> entries = {{"a", {DType::u8, {2, 64}, {}}},
                                                      {"b", {DType::bf16, {2, 3}, {}}}};
  return error_of([&] { parse_packed_tensors(metadata, entries, "file"); });
}

Metadata stated(const std::string& list) {
  return {{"qwenvl.version", "1"}, {"qwenvl.packed", list}};
}

TEST(PackedTensors, WhatIsWrittenIsRead) {
  const std::map<std::string, PackedTensor> tensors = {{"a", {"int4", {48, 20}}}};
  const auto read =
      parse_packed_tensors(packed_metadata(tensors), {{"a", {DType::u8, {2, 64}, {}}}}, "file");
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read.at("a").packing, "int4");
  EXPECT_EQ(read.at("a").shape, Shape({48, 20}));
}

TEST(PackedTensors, FilesWithoutSuchMetadataHaveNone) {
  EXPECT_EQ(problem_of({{"format", "pt"}}), "");
  EXPECT_TRUE(parse_packed_tensors({{"format", "pt"}}, {}, "file").empty());
}

TEST(PackedTensors, MetadataThatDoesNotFitIsRefused) {
  struct Case {
    Metadata metadata;
    const char* part;
  };
  const std::string good = R"("packing": "int4", "shape": [48, 20])";
  const Case cases[] = {
      {{{"qwenvl.version", "1"}}, "expected both"},
      {{{"qwenvl.packed", "{}"}}, "expected both"},
      {{{"qwenvl.version", "2"}, {"qwenvl.packed", "{}"}},
       "unsupported: file: packed in version '2'"},
      {stated("["), "no JSON object"},
      {stated("[]"), "no JSON object"},
      {stated("{\"a\": 1}"), "expected a packing and a shape"},
      {stated("{\"a\": {" + good + ", \"more\": 1}}"), "expected a packing and a shape"},
      {stated("{\"a\": {\"packing\": 4, \"shape\": [48, 20]}}"), "expected a packing and a shape"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [48]}}"), "expected two sizes"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [48, 0]}}"), "expected two sizes"},
      {stated("{\"a\": {\"packing\": \"int8\", \"shape\": [48, 131073]}}"),
       "is packed in rows of 131073 numbers, expected at most 131072"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [48, -1]}}"), "expected two sizes"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [48, 2.5]}}"), "expected two sizes"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [2000000000, 2000000000]}}"),
       "expected two sizes"},
      {stated("{\"a\": {\"packing\": \"int4\", \"shape\": [99999999999999999999, 1]}}"),
       "expected two sizes"},
      {stated("{\"c\": {" + good + "}}"), "names tensor 'c', which is not in the file"},
      {stated("{\"b\": {" + good + "}}"), "is said to be packed, but is bfloat16"},
  };
  for (const Case& c : cases) EXPECT_TRUE(contains(problem_of(c.metadata), c.part));
}

}  // namespace
}  // namespace qwenvl
