// Files that appear when they are whole.
#include "core/new_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;

void write(const std::string& path, const char* text) { std::ofstream(path) << text; }
std::string first_line(const std::string& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

TEST(NewFile, AppearsWhenItIsKept) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.txt";
  write(path, "old");
  NewFile file(path);
  write(file.path(), "new");
  EXPECT_EQ(first_line(path), "old");
  file.keep();
  EXPECT_EQ(first_line(path), "new");
  EXPECT_FALSE(fs::exists(file.path()));
}

TEST(NewFile, LeavesNothingUnlessItIsKept) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.txt";
  write(path, "old");
  std::string part;
  {
    const NewFile file(path);
    part = file.path();
    write(part, "half");
  }
  EXPECT_FALSE(fs::exists(part));
  EXPECT_EQ(first_line(path), "old");
}

TEST(NewFile, ALinkStaysALink) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.txt", link = folder / "link.txt";
  write(path, "old");
  fs::create_symlink(path, link);
  NewFile file(link);
  write(file.path(), "new");
  file.keep();
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(first_line(path), "new");
}

TEST(NewFile, WhatIsNoFileIsWrittenAsItIs) {
  NewFile file("/dev/null");
  EXPECT_EQ(file.path(), "/dev/null");
  file.keep();
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace qwenvl
