// Where media bytes come from: a path, file://, data:, http(s)://, or "-" for standard input.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace qwenvl {

struct FetchLimits {
  std::size_t max_bytes = 64u << 20;
  long timeout_ms = 30'000;
  long connect_timeout_ms = 10'000;
  int max_redirects = 5;
};

// Videos are larger than pictures, and take longer to come.
constexpr FetchLimits kVideoFetchLimits{.max_bytes = 1u << 30, .timeout_ms = 600'000};

struct SourceBytes {
  std::string name;  // for messages: the path, the URL, "data:image/png…", "standard input"
  std::vector<std::byte> bytes;
};

// The path when the source is a file on disk (a path or file://), else "".
std::string local_path(const std::string& source);

// Throws bad_file / device / bad_request in one clear line.
SourceBytes read_source(const std::string& source, const FetchLimits& limits = {});

// Loads what fetching over http(s) needs now instead of when the first picture is fetched.
void load_web_library() noexcept;

}  // namespace qwenvl
