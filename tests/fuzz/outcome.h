// What a fuzz target may end in: what it says of a good input, or one Error with a clear message.
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "qwenvl/error.h"

namespace qwenvl::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

// Runs the call; an Error must be of one of these kinds and short enough to read.
template <class Call>
void expect_error_or_success(Call&& call, std::initializer_list<ErrorKind> kinds = {
                                              ErrorKind::bad_file, ErrorKind::unsupported}) {
  try {
    call();
  } catch (const Error& error) {
    bool is_expected = false;
    for (const ErrorKind kind : kinds) is_expected |= error.kind() == kind;
    require(is_expected);
    require(std::strlen(error.what()) < 2000);
  }
}

}  // namespace qwenvl::fuzz
