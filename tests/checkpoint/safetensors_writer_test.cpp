// Files written piece by piece: read back, aligned, and gone when they were not finished.
#include "checkpoint/safetensors_writer.h"

#include <gtest/gtest.h>

#include "checkpoint/checkpoint_files.h"
#include "checkpoint/safetensors.h"

namespace qwenvl {
namespace {

TEST(SafetensorsWriter, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  const std::vector<std::byte> bytes(128, std::byte{7}), more(12, std::byte{9});
  {
    SafetensorsWriter writer(folder.path() / "a.safetensors",
                             {{"packed", DType::u8, {2, 64}}, {"plain", DType::bf16, {2, 3}}},
                             {{"format", "pt"}});
    writer.write(std::span(bytes).first(100));
    writer.write(std::span(bytes).subspan(100));
    writer.write(more);
    writer.finish();
  }
  const MappedFile file(folder.path() / "a.safetensors");
  std::map<std::string, std::string> metadata;
  const auto entries = parse_safetensors(file.bytes(), "a", &metadata);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries.at("packed").shape, Shape({2, 64}));
  EXPECT_EQ(entries.at("packed").bytes[127], std::byte{7});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(entries.at("packed").bytes.data()) % 64, 0u);
  EXPECT_EQ(entries.at("plain").type, DType::bf16);
  EXPECT_EQ(entries.at("plain").bytes[0], std::byte{9});
  EXPECT_EQ(metadata.at("format"), "pt");
}

TEST(SafetensorsWriter, AFolderInTheWayIsSaidBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  folder.write("a.safetensors/in the way", "");
  const std::string error = error_of([&] {
    SafetensorsWriter(folder.path() / "a.safetensors", {{"x", DType::u8, {4}}}, {});
  });
  EXPECT_TRUE(contains(error, "a.safetensors: cannot be written: Is a directory")) << error;
  EXPECT_FALSE(std::filesystem::exists(folder / "a.safetensors.part"));
}

TEST(SafetensorsWriter, AnUnfinishedFileLeavesNothing) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder.path() / "a.safetensors", {{"x", DType::u8, {64}}}, {});
    writer.write(std::vector<std::byte>(10));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SafetensorsWriter, AFolderThatIsNotThereIsNamed) {
  const std::string error = error_of([] {
    SafetensorsWriter("/nowhere/a.safetensors", {{"x", DType::u8, {64}}}, {});
  });
  EXPECT_TRUE(contains(error, "device: /nowhere/a.safetensors.part: cannot be written"));
}

}  // namespace
}  // namespace qwenvl
