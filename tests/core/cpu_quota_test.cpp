// CPU quotas of control groups, from folders that imitate /sys/fs/cgroup.
#include "core/cpu_quota.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace qwenvl {
namespace {

class CpuQuota : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "qwenvl_test_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  std::optional<double> quota(const std::string& memberships) const {
    write("memberships", memberships);
    return cpu_quota(root_ / "memberships", root_);
  }

  std::filesystem::path root_;
};

TEST_F(CpuQuota, Version2TakesTheSmallestOnTheWayUp) {
  write("a/b/cpu.max", "max 100000\n");
  write("a/cpu.max", "150000 100000\n");
  write("cpu.max", "400000 100000\n");
  EXPECT_EQ(quota("0::/a/b\n"), 1.5);
}

TEST_F(CpuQuota, AContainerSeesItsOwnGroupAtTheRoot) {
  write("cpu.max", "200000 100000\n");
  EXPECT_EQ(quota("0::/../../elsewhere\n"), 2);
}

TEST_F(CpuQuota, Version1IsReadFromTheCpuHierarchy) {
  write("cpu/x/cpu.cfs_quota_us", "300000\n");
  write("cpu/x/cpu.cfs_period_us", "100000\n");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("5:memory:/y\n4:cpu,cpuacct:/x\n"), 3);
}

TEST_F(CpuQuota, NothingMeansNoLimit) {
  EXPECT_EQ(quota(""), std::nullopt);
  EXPECT_EQ(quota("0::/\nnonsense\n1:cpuset:/\n"), std::nullopt);
  write("cpu.max", "max 100000\n");
  EXPECT_EQ(quota("0::/\n"), std::nullopt);
  EXPECT_EQ(cpu_quota(root_ / "absent", root_), std::nullopt);
}

TEST_F(CpuQuota, DamagedFilesMeanNoLimit) {
  for (const char* text : {"", "abc", "0 0", "100000", "100000 0", "-5 100000"}) {
    write("cpu.max", text);
    EXPECT_EQ(quota("0::/\n"), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace qwenvl
