// The table of environment variables: what is accepted, and that nothing wrong passes in silence.
#include "core/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "qwenvl/error.h"

namespace qwenvl {
namespace {

// Sets a variable for one test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

std::string refusal() {
  try {
    check_settings();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_request);
    return error.what();
  }
  return "";
}

TEST(Settings, AreSortedByNameAndDescribed) {
  std::string last;
  for (const Setting& entry : all_settings()) {
    EXPECT_LT(last, entry.name);
    EXPECT_TRUE(std::string(entry.name).starts_with("QWENVL_"));
    EXPECT_NE(std::string(entry.meaning), "");
    EXPECT_NE(std::string(entry.allowed), "");
    last = entry.name;
  }
}

TEST(Settings, UnsetAndEmptyMeanNone) {
  ::unsetenv("QWENVL_THREADS");
  EXPECT_EQ(setting("QWENVL_THREADS"), std::nullopt);
  const Variable variable("QWENVL_THREADS", "");
  EXPECT_EQ(setting("QWENVL_THREADS"), std::nullopt);
  EXPECT_EQ(refusal(), "");
}

TEST(Settings, AllowedValuesPass) {
  const Variable isa("QWENVL_ISA", "avx512_vnni"), log("QWENVL_LOG", "debug");
  const Variable threads("QWENVL_THREADS", "16"), trace("QWENVL_TRACE", "/tmp/a folder");
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(setting("QWENVL_THREADS"), "16");
  EXPECT_EQ(setting("QWENVL_TRACE"), "/tmp/a folder");
}

TEST(Settings, ValuesThatAreNotAllowedAreNamed) {
  for (const char* value :
       {"0", "-1", "1.5", "many", "513", "00001", " 4", "99999999999999999999"}) {
    const Variable variable("QWENVL_THREADS", value);
    EXPECT_NE(refusal().find("expected 1 to 512"), std::string::npos) << value;
    EXPECT_THROW(setting("QWENVL_THREADS"), Error) << value;
  }
  const Variable log("QWENVL_LOG", "loud");
  EXPECT_NE(refusal().find("QWENVL_LOG is 'loud', expected error, warning, info or debug"),
            std::string::npos);
}

TEST(Settings, AnUnknownVariableIsNamedWithTheOnesThatExist) {
  const Variable variable("QWENVL_THREAD", "4");
  const std::string message = refusal();
  EXPECT_NE(message.find("'QWENVL_THREAD' is not a setting"), std::string::npos);
  EXPECT_NE(message.find("QWENVL_ISA, QWENVL_LOG, QWENVL_MODEL, QWENVL_THREADS, QWENVL_TRACE"),
            std::string::npos);
}

TEST(Settings, AskingForANameOutsideTheTableIsABug) {
  try {
    setting("QWENVL_NONE");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
  }
}

}  // namespace
}  // namespace qwenvl
