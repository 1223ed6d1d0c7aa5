// Names → back ends, and the choice of kernels.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "backend/cpu/probe/probe.h"
#include "backend_cases.h"
#include "support/error_of.h"

namespace qwenvl::testing {
namespace {

class WithIsa : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("QWENVL_ISA")) before_ = value;
  }
  void TearDown() override {
    before_.empty() ? ::unsetenv("QWENVL_ISA") : ::setenv("QWENVL_ISA", before_.c_str(), 1);
  }
  static void set(const char* isa) { ::setenv("QWENVL_ISA", isa, 1); }

 private:
  std::string before_;
};

TEST_F(WithIsa, the_first_usable_table_is_chosen) {
  ::unsetenv("QWENVL_ISA");
  for (const cpu::KernelChoice& choice : cpu::kernel_choices()) {
    if (!choice.is_usable) continue;
    EXPECT_STREQ(cpu::best_kernels().name, choice.table->name);
    break;
  }
}

// The emulator tests say which table their processor must get.
TEST_F(WithIsa, an_emulated_processor_gets_the_expected_table) {
  const char* expected = std::getenv("EXPECTED_KERNELS");
  if (!expected) GTEST_SKIP() << "not emulated";
  EXPECT_STREQ(cpu::best_kernels().name, expected);
}

TEST_F(WithIsa, every_table_is_chosen_by_its_name_or_says_what_it_needs) {
  for (const cpu::KernelChoice& choice : cpu::kernel_choices()) {
    set(choice.table->name);
    if (choice.is_usable) {
      EXPECT_EQ(&cpu::best_kernels(), choice.table);
      EXPECT_EQ(make_backend("cpu", 1)->name(), std::string("cpu/") + choice.table->name);
    } else {
      EXPECT_EQ(error_of([] { cpu::best_kernels(); }),
                fmt::format("bad_request: QWENVL_ISA: this machine cannot run {}: {}",
                            choice.table->name, choice.reason));
    }
  }
}

#if defined(__x86_64__)
// A share of a limit that the forced kernels cannot reach would mean nothing.
TEST_F(WithIsa, the_limits_are_those_of_the_forced_table) {
  constexpr std::size_t kBytes = 4 << 20;
  const std::map<std::string, std::string> int8_products = {
      {"portable", "portable int8"}, {"avx2", "AVX2 int8"},           {"avx_vnni", "AVX-VNNI"},
      {"avx512", "AVX2 int8"},       {"avx512_vnni", "AVX-512 VNNI"}, {"amx", "AMX int8"}};
  for (const cpu::KernelChoice& choice : cpu::kernel_choices()) {
    const auto expected = int8_products.find(choice.table->name);
    if (!choice.is_usable || expected == int8_products.end()) continue;
    set(choice.table->name);
    EXPECT_EQ(cpu::Probe(1, kBytes).loops().int8, expected->second) << choice.table->name;
  }
}
#endif

TEST_F(WithIsa, the_portable_table_is_always_usable) {
  set("portable");
  EXPECT_STREQ(cpu::best_kernels().name, "portable");
}

TEST(Backends, unknown_names_and_thread_counts_are_refused) {
  EXPECT_EQ(error_of([] { make_backend("gpu", 1); }),
            "bad_request: backend: found 'gpu', expected one of auto, cpu, reference");
  EXPECT_EQ(error_of([] { make_backend("cpu", -1); }),
            "bad_request: threads: found -1, expected 0 (all cores) to 1000");
  EXPECT_EQ(error_of([] { make_backend("cpu", 1001); }),
            "bad_request: threads: found 1001, expected 0 (all cores) to 1000");
}

TEST(Backends, the_reference_has_its_name) {
  EXPECT_EQ(make_backend("reference", 1)->name(), "reference");
}

}  // namespace
}  // namespace qwenvl::testing
