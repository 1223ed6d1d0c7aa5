// How failures are raised and how foreign text is shown in them.
#include "core/check.h"

#include <gtest/gtest.h>

#include <iomanip>  // its std::quoted must not be chosen for strings
#include <string>

namespace qwenvl {
namespace {

TEST(Check, FailThrowsItsKindAndMessage) {
  try {
    fail(ErrorKind::bad_file, "{}: {} bytes", "x", 3);
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_file);
    EXPECT_STREQ(error.what(), "x: 3 bytes");
  }
}

TEST(Check, AFailedCheckIsAnInternalErrorWithItsPlace) {
  try {
    QWENVL_CHECK(1 + 1 == 3, "sums are {}", "wrong");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
    const std::string message = error.what();
    EXPECT_NE(message.find("check_test.cpp"), std::string::npos);
    EXPECT_NE(message.find("sums are wrong"), std::string::npos);
    EXPECT_NE(message.find("1 + 1 == 3"), std::string::npos);
  }
}

TEST(Check, KindsHaveStableNames) {
  EXPECT_STREQ(name_of(ErrorKind::bad_request), "bad_request");
  EXPECT_STREQ(name_of(ErrorKind::out_of_memory), "out_of_memory");
  EXPECT_STREQ(name_of(ErrorKind::internal), "internal");
}

TEST(Quoted, EscapesControlBytesAndShortens) {
  std::string text = "a\n\x7f";
  EXPECT_EQ(quoted(text), "'a\\x0a\\x7f'");
  EXPECT_EQ(quoted(std::string("x")), "'x'");
  EXPECT_EQ(quoted("0123456789", 4), "'0123… (10 bytes)'");
}

}  // namespace
}  // namespace qwenvl
