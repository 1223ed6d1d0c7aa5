// Names of error kinds, foreign text made printable, and the message of a failed check.
#include <cstring>

#include "core/check.h"

namespace qwenvl {

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_request: return "bad_request";
    case ErrorKind::bad_file: return "bad_file";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::out_of_memory: return "out_of_memory";
    case ErrorKind::device: return "device";
    case ErrorKind::cancelled: return "cancelled";
    case ErrorKind::internal: return "internal";
  }
  return "internal";
}

std::string quoted(std::string_view text, std::size_t max_bytes) {
  std::string out = "'";
  for (unsigned char byte : text.substr(0, max_bytes)) {
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out.push_back(static_cast<char>(byte));
    }
  }
  if (text.size() > max_bytes) fmt::format_to(std::back_inserter(out), "… ({} bytes)", text.size());
  out.push_back('\'');
  return out;
}

namespace detail {

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  const char* slash = std::strrchr(file, '/');
  throw Error(
      ErrorKind::internal,
      fmt::format("internal error at {}:{}: {} ({}); this is a bug in qwenvl, please report it",
                  slash ? slash + 1 : file, line, message, condition));
}

}  // namespace detail
}  // namespace qwenvl
