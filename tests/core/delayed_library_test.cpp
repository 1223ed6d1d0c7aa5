#include "core/delayed_library.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "support/error_of.h"

namespace qwenvl::testing {
namespace {

#if defined(__APPLE__)
constexpr char kMath[] = "libSystem.B.dylib", kC[] = "libSystem.B.dylib";
#else
constexpr char kMath[] = "libm.so.6", kC[] = "libc.so.6";
#endif
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constinit DelayedLibrary math(kMath, "roots", "a C library"), c(kC, "texts", "a C library"),
    absent("libqwenvl-absent.so.7", "nonsense", "nothing (Debian: none)");

TEST(DelayedLibrary, a_function_is_called_as_if_it_were_linked) {
  constinit static const DelayedFunction<double(double)> root{math, "cbrt"};
  EXPECT_DOUBLE_EQ(root(27.0), 3.0);
  EXPECT_DOUBLE_EQ(root(8.0), 2.0);
}

TEST(DelayedLibrary, a_function_takes_further_arguments_of_any_type) {
  constinit static const DelayedFunction<int(char*, std::size_t, const char*, ...)> print{
      c, "snprintf"};
  char text[32];
  EXPECT_EQ(print(text, sizeof text, "%d %s %.1f", 7, "words", 2.5), 11);
  EXPECT_EQ(std::string(text), "7 words 2.5");
}

TEST(DelayedLibrary, what_is_not_installed_is_named_with_its_package) {
  constinit static const DelayedFunction<int()> missing{absent, "compute"};
  for (int i = 0; i < 2; ++i) {
    const std::string error = error_of([] { missing(); });
    EXPECT_TRUE(contains(error, "nonsense need libqwenvl-absent.so.7, which cannot be loaded"))
        << error;
    EXPECT_TRUE(contains(error, "install nothing (Debian: none)")) << error;
  }
}

TEST(DelayedLibrary, a_function_that_the_library_lacks_is_named) {
  constinit static const DelayedFunction<int()> missing{math, "qwenvl_no_such_function"};
  const std::string error = error_of([] { missing(); });
  EXPECT_TRUE(contains(error, std::string("roots need qwenvl_no_such_function of ") + kMath))
      << error;
}

}  // namespace
}  // namespace qwenvl::testing
