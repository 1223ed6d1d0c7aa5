// Fetches the bytes of a picture from wherever the request points.
// Before: a request names a path, URL or data: text.   After: image.cpp decodes the bytes.
// Mirrors which sources the reference accepts (path, file://, http(s)://, base64 data:); unlike it,
// every fetch is bounded in bytes and time.
#include "media/source.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include "core/check.h"
#include "core/delayed_library.h"

namespace qwenvl {
namespace {

constexpr std::size_t kReadBlockBytes = 256u << 10;

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  return std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text, const std::string& name) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      fail(ErrorKind::bad_request,
           "{}: {} at byte {} is not a percent escape, expected % and two hex digits", name,
           quoted(text.substr(i, 3)), i);
    }
    out.push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return out;
}

// ---- files and standard input

struct FileDescriptor {
  int value;
  ~FileDescriptor() {
    if (value > STDERR_FILENO) close(value);
  }
};

[[noreturn]] void fail_too_large(const std::string& name, const FetchLimits& limits) {
  fail(ErrorKind::bad_file, "{}: more than {} bytes, the limit for one source", name,
       limits.max_bytes);
}

std::vector<std::byte> read_all(int descriptor, const std::string& name,
                                const FetchLimits& limits) {
  std::vector<std::byte> bytes;
  std::vector<std::byte> block(kReadBlockBytes);
  for (;;) {
    const ssize_t n = read(descriptor, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorKind::device, "{}: reading failed: {}", name, std::strerror(errno));
    if (n == 0) return bytes;
    bytes.insert(bytes.end(), block.begin(), block.begin() + n);
    if (bytes.size() > limits.max_bytes) fail_too_large(name, limits);
  }
}

std::vector<std::byte> read_path(const std::string& path, const FetchLimits& limits) {
  if (path.find('\0') != std::string::npos) {
    fail(ErrorKind::bad_request, "{}: the path contains a zero byte", quoted(path));
  }
  // Opened without blocking, so that a FIFO without a writer cannot hold us.
  const FileDescriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.value < 0) {
    fail(ErrorKind::bad_file, "{}: cannot be opened: {}; expected a path, a URL, a data: text or -",
         quoted(path), std::strerror(errno));
  }
  struct stat status;
  if (fstat(file.value, &status) != 0) {
    fail(ErrorKind::device, "{}: cannot be examined: {}", quoted(path), std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode))
    fail(ErrorKind::bad_file, "{}: is a folder, expected an image file", quoted(path));
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorKind::bad_file,
         "{}: is a device, pipe or socket, expected a regular file; use - to read a pipe",
         quoted(path));
  }
  if (static_cast<std::uint64_t>(status.st_size) > limits.max_bytes) {
    fail(ErrorKind::bad_file, "{}: the file has {} bytes, expected at most {}", quoted(path),
         status.st_size, limits.max_bytes);
  }
  return read_all(file.value, path, limits);
}

// file:///path, or file://localhost/path; escapes are decoded unless the plain path exists.
std::string path_of_file_url(const std::string& url) {
  std::string path = url.substr(7);
  if (starts_with_ignoring_case(path, "localhost/")) path.erase(0, 9);
  if (path.empty())
    fail(ErrorKind::bad_request, "{}: names no file, expected file:///path", quoted(url));
  if (path.find('%') == std::string::npos || access(path.c_str(), F_OK) == 0) return path;
  return percent_decoded(path, quoted(url));
}

// ---- data: texts

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;  // the URL-safe alphabet is unambiguous, so it is taken too
  if (c == '/' || c == '_') return 63;
  return -1;
}

std::vector<std::byte> base64_decoded(std::string_view text, const std::string& name) {
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t window = 0;
  std::size_t n_digits = 0, n_pads = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    if (c == '=') {
      ++n_pads;
      continue;
    }
    const int value = base64_value(c);
    if (value < 0 || n_pads > 0) {
      fail(ErrorKind::bad_request,
           "{}: {} at byte {} of the base64 text, expected A-Z a-z 0-9 + / and = at the end", name,
           quoted(text.substr(i, 1)), i);
    }
    window = window << 6 | static_cast<std::uint32_t>(value);
    if (++n_digits % 4 != 1) {
      const int shift = n_digits % 4 == 2 ? 4 : n_digits % 4 == 3 ? 2 : 0;
      bytes.push_back(static_cast<std::byte>(window >> shift & 0xff));
    }
  }
  if (n_digits % 4 == 1 || n_pads > 2 || (n_pads > 0 && (n_digits + n_pads) % 4 != 0)) {
    fail(ErrorKind::bad_request,
         "{}: the base64 text has {} digits and {} '=', which is incomplete", name, n_digits,
         n_pads);
  }
  return bytes;
}

SourceBytes read_data(const std::string& source, const FetchLimits& limits) {
  const std::size_t comma = source.find(',');
  if (comma == std::string::npos || comma > 1000) {
    fail(ErrorKind::bad_request,
         "{}: no comma after the media type, expected data:image/png;base64,…", quoted(source, 40));
  }
  SourceBytes out;
  const std::string_view head = std::string_view(source).substr(0, comma);
  out.name = std::string(head.substr(0, std::min<std::size_t>(head.find(';'), 60))) + "…";
  const std::string_view body = std::string_view(source).substr(comma + 1);
  if (body.size() / 4 > limits.max_bytes / 3 + 1 && head.ends_with(";base64"))
    fail_too_large(out.name, limits);
  if (head.ends_with(";base64")) {
    // A base64 text may itself be percent-encoded inside a URL.
    out.bytes = body.find('%') == std::string_view::npos
                    ? base64_decoded(body, out.name)
                    : base64_decoded(percent_decoded(body, out.name), out.name);
  } else {
    const std::string text = percent_decoded(body, out.name);
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    out.bytes.assign(first, first + text.size());
  }
  if (out.bytes.size() > limits.max_bytes) fail_too_large(out.name, limits);
  return out;
}

// ---- http(s)

#if defined(__APPLE__)
constinit DelayedLibrary libcurl("libcurl.4.dylib", "pictures from the web", "libcurl");
#else
constinit DelayedLibrary libcurl("libcurl.so.4", "pictures from the web",
                                 "libcurl (Debian: libcurl4)");
#endif
#define QWENVL_CURL(function) \
  constinit const DelayedFunction<decltype(::function)> function { libcurl, #function }
QWENVL_CURL(curl_easy_cleanup);
QWENVL_CURL(curl_easy_getinfo);
QWENVL_CURL(curl_easy_init);
QWENVL_CURL(curl_easy_perform);
QWENVL_CURL(curl_easy_setopt);
QWENVL_CURL(curl_easy_strerror);
QWENVL_CURL(curl_global_init);

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

struct Download {
  std::vector<std::byte> bytes;
  std::size_t max_bytes;
  bool is_too_large = false, is_out_of_memory = false;
};

// Called by libcurl; a short count stops the transfer. No exception may leave.
std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  Download& download = *static_cast<Download*>(user);
  const std::size_t n = size * count;
  if (n > download.max_bytes - download.bytes.size()) {
    download.is_too_large = true;
    return 0;
  }
  try {
    const auto* first = reinterpret_cast<const std::byte*>(data);
    download.bytes.insert(download.bytes.end(), first, first + n);
  } catch (const std::bad_alloc&) {
    download.is_out_of_memory = true;
    return 0;
  }
  return n;
}

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK)
    fail(ErrorKind::device, "libcurl cannot start: {}", curl_easy_strerror(started));
}

void set_options(CURL* curl, const std::string& url, const FetchLimits& limits, Download& download,
                 char* message) {
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, static_cast<long>(limits.max_redirects));
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);  // statuses from 400 on
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, limits.timeout_ms);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, limits.connect_timeout_ms);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // threads of a server must not get SIGALRM
  curl_easy_setopt(curl, CURLOPT_PROXY, "");     // the environment does not redirect requests
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits.max_bytes));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "qwenvl");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &download);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
}

[[noreturn]] void fail_download(CURL* curl, CURLcode code, const std::string& name,
                                const FetchLimits& limits, const Download& download,
                                const char* message) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (download.is_too_large || code == CURLE_FILESIZE_EXCEEDED) fail_too_large(name, limits);
  if (download.is_out_of_memory)
    fail(ErrorKind::out_of_memory, "{}: not enough memory to fetch it", name);
  switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
      fail(ErrorKind::device, "{}: the server answered HTTP {}, expected 200", name, status);
    case CURLE_OPERATION_TIMEDOUT:
      fail(ErrorKind::device, "{}: no complete answer within {} ms", name, limits.timeout_ms);
    case CURLE_TOO_MANY_REDIRECTS:
      fail(ErrorKind::device, "{}: more than {} redirects", name, limits.max_redirects);
    case CURLE_URL_MALFORMAT: fail(ErrorKind::bad_request, "{}: is not a valid URL", name);
    default:
      fail(ErrorKind::device, "{}: cannot be fetched: {}", name,
           message[0] ? message : curl_easy_strerror(code));
  }
}

SourceBytes read_url(const std::string& url, const FetchLimits& limits) {
  SourceBytes out;
  out.name = quoted(url, 200);
  if (url.find('\0') != std::string::npos)
    fail(ErrorKind::bad_request, "{}: is not a valid URL", out.name);
  start_curl();
  const std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
  if (!curl) fail(ErrorKind::device, "{}: libcurl cannot start a request", out.name);
  Download download{{}, limits.max_bytes};
  char message[CURL_ERROR_SIZE] = "";
  set_options(curl.get(), url, limits, download, message);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) fail_download(curl.get(), code, out.name, limits, download, message);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200)
    fail(ErrorKind::device, "{}: the server answered HTTP {}, expected 200", out.name, status);
  out.bytes = std::move(download.bytes);
  return out;
}

SourceBytes read_any(const std::string& source, const FetchLimits& limits) {
  if (source.empty()) {
    fail(ErrorKind::bad_request,
         "the image source is empty, expected a path, a URL, a data: text or -");
  }
  if (source == "-") return {"standard input", read_all(STDIN_FILENO, "standard input", limits)};
  if (starts_with_ignoring_case(source, "http://") ||
      starts_with_ignoring_case(source, "https://")) {
    return read_url(source, limits);
  }
  if (starts_with_ignoring_case(source, "data:")) return read_data(source, limits);
  if (starts_with_ignoring_case(source, "file://")) {
    const std::string path = path_of_file_url(source);
    return {path, read_path(path, limits)};
  }
  // "scheme://" is never a path we should look for on disk.
  const std::size_t scheme = source.find("://");
  if (scheme != std::string::npos && scheme < 16 && source.find('/') > scheme) {
    fail(ErrorKind::bad_request, "{}: unknown scheme {}, expected http, https, file or data",
         quoted(source), quoted(source.substr(0, scheme)));
  }
  return {source, read_path(source, limits)};
}

}  // namespace

std::string local_path(const std::string& source) {
  if (starts_with_ignoring_case(source, "file://")) return path_of_file_url(source);
  const bool is_elsewhere = source == "-" || starts_with_ignoring_case(source, "data:") ||
                            source.find("://") != std::string::npos;
  return is_elsewhere ? "" : source;
}

SourceBytes read_source(const std::string& source, const FetchLimits& limits) {
  SourceBytes out = read_any(source, limits);
  if (out.bytes.empty())
    fail(ErrorKind::bad_file, "{}: is empty (0 bytes), expected an image", out.name);
  return out;
}

void load_web_library() noexcept { libcurl.try_load(); }

}  // namespace qwenvl
