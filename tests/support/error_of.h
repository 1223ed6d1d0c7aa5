// What a call fails with, as one line that tests can compare.
#pragma once

#include <string>

#include "qwenvl/error.h"

namespace qwenvl {

// The Error of a call, as "kind: message"; "" when it throws none.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(name_of(error.kind())) + ": " + error.what();
  }
  return "";
}

}  // namespace qwenvl
