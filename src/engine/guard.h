// The promise that only qwenvl::Error leaves the library, kept where other exceptions could.
// Before: the standard library and third parties throw what they like.   After: the caller, or the
// reader of a stream, gets one Error.
#pragma once

#include <exception>

namespace qwenvl {

// The exception being handled as an Error: bad_alloc becomes out_of_memory, anything else foreign
// internal. Call it inside a catch block only.
std::exception_ptr current_error() noexcept;

template <class Call>
auto guarded(Call&& call) {
  try {
    return call();
  } catch (...) {
    std::rethrow_exception(current_error());
  }
}

}  // namespace qwenvl
