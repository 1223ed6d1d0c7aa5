// Pages of mapped files and of anonymous memory that are given back.
#include "core/mapped_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "core/anonymous_memory.h"
#include "qwenvl/error.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

constexpr std::size_t kBytes = 8u << 20;

// VmRSS in bytes; 0 where the system does not tell.
std::int64_t resident() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) << 10;
  }
  return 0;
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
  return std::accumulate(
      bytes.begin(), bytes.end(), std::uint64_t{0},
      [](std::uint64_t sum, std::byte b) { return sum + std::to_integer<int>(b); });
}

TEST(MappedFile, ReleasedPagesLeaveTheProcessAndComeBackTheSame) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "bytes";
  std::ofstream(path, std::ios::binary) << std::string(kBytes, 'a');
  const MappedFile file(path);
  const std::uint64_t sum = sum_of(file.bytes());
  const std::int64_t before = resident();
  if (before == 0) GTEST_SKIP() << "this system does not tell what is resident";
  file.release(file.bytes());
  EXPECT_LT(resident(), before - static_cast<std::int64_t>(kBytes / 2));
  EXPECT_EQ(sum_of(file.bytes()), sum);
}

TEST(MappedFile, KnowsWhatLiesInIt) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "bytes";
  std::ofstream(path, std::ios::binary) << "abcdef";
  const MappedFile file(path);
  const std::byte elsewhere[4] = {};
  EXPECT_TRUE(file.holds(file.bytes().subspan(2, 3)));
  EXPECT_FALSE(file.holds(elsewhere));
}

TEST(MappedFile, ASettledFileReadsTheSameAndAMissingOneIsAnError) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "bytes";
  std::ofstream(path, std::ios::binary) << "abcdef";
  settle_file(path);
  EXPECT_EQ(read_file(path, 100), "abcdef");
  std::filesystem::remove(path);
  EXPECT_THROW(settle_file(path), Error);
}

TEST(AnonymousMemory, ForgottenPagesAreZeroAndTakeNothing) {
  AnonymousMemory memory(kBytes, "test");
  std::fill_n(memory.data(), kBytes, std::byte{1});
  const std::int64_t before = resident();
  memory.forget();
  if (before > 0) {
    EXPECT_LT(resident(), before - static_cast<std::int64_t>(kBytes / 2));
  }
  EXPECT_EQ(sum_of({memory.data(), kBytes}), 0u);
}

TEST(AnonymousMemory, WhatTheSystemRefusesIsAnError) {
  try {
    const AnonymousMemory memory(std::size_t{1} << 60, "test");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::out_of_memory);
    EXPECT_NE(std::string(error.what()).find("test: "), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace qwenvl
