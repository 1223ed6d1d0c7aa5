// The one exception type of the library.
//
// Two kinds of failure exist and are never mixed: the world is wrong (a file, a request, memory, a
// device) or the program is wrong (ErrorKind::internal, a bug worth reporting). Messages state the
// place, what was found, what was expected and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace qwenvl {

enum class ErrorKind {
  bad_request,    // arguments or a request that cannot be served as asked
  bad_file,       // foreign bytes that do not hold what they claim
  unsupported,    // understood, but this build does not do it
  out_of_memory,  // a limit would be exceeded; nothing has been computed
  device,         // operating system, network or accelerator failure
  cancelled,      // stopped by the caller
  internal,       // a bug in qwenvl
};

// "bad_request", "bad_file", …; stable, meant for scripts.
const char* name_of(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace qwenvl
