// Paths, data: texts and HTTP: what is read, and that everything else is one clear error.
#include "media/source.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "media_files.h"
#include "qwenvl/error.h"

namespace qwenvl {
namespace {

std::string text_of(const SourceBytes& source) {
  return {reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()};
}

struct Failure {
  ErrorKind kind = ErrorKind::internal;
  std::string message = "no Error was thrown";
};

Failure failure_of(const std::string& source, const FetchLimits& limits = {}) {
  try {
    read_source(source, limits);
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {};
}

void expect_failure(const std::string& source, ErrorKind kind, const std::string& part,
                    const FetchLimits& limits = {}) {
  const Failure failure = failure_of(source, limits);
  EXPECT_EQ(name_of(failure.kind), std::string(name_of(kind))) << failure.message;
  EXPECT_NE(failure.message.find(part), std::string::npos) << failure.message;
  EXPECT_EQ(failure.message.find('\n'), std::string::npos) << failure.message;
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "qwenvl-source-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
    return path_ + "/" + name;
  }
  std::string path_;
};

TEST_F(Folder, ReadsAPathAndAFileUrl) {
  const std::string path = write("a b.bin", "hello");
  EXPECT_EQ(text_of(read_source(path)), "hello");
  EXPECT_EQ(read_source(path).name, path);
  EXPECT_EQ(text_of(read_source("file://" + path)), "hello");
  EXPECT_EQ(text_of(read_source("file://localhost" + path_ + "/a%20b.bin")), "hello");
}

TEST_F(Folder, PrefersAFileWhosePlainNameHasPercents) {
  const std::string path = write("100%25.bin", "plain");
  EXPECT_EQ(text_of(read_source("file://" + path)), "plain");
}

TEST_F(Folder, RefusesWhatIsNotAFullRegularFile) {
  expect_failure(path_ + "/missing.png", ErrorKind::bad_file, "cannot be opened");
  expect_failure(path_, ErrorKind::bad_file, "folder");
  expect_failure(write("empty", ""), ErrorKind::bad_file, "empty");
  expect_failure("/dev/zero", ErrorKind::bad_file, "device");
  const std::string fifo = path_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  expect_failure(fifo, ErrorKind::bad_file, "pipe");
  FetchLimits limits;
  limits.max_bytes = 4;
  expect_failure(write("large", "12345"), ErrorKind::bad_file, "at most 4", limits);
}

TEST(Source, RefusesEmptyAndForeignNames) {
  expect_failure("", ErrorKind::bad_request, "empty");
  expect_failure("ftp://host/x.png", ErrorKind::bad_request, "ftp");
  expect_failure("file://", ErrorKind::bad_request, "names no file");
  expect_failure("file:///tmp/%zz", ErrorKind::bad_request, "percent escape");
  expect_failure(std::string("a\0b", 3), ErrorKind::bad_request, "zero byte");
}

TEST(DataText, DecodesBase64AndPercentEncoding) {
  EXPECT_EQ(text_of(read_source("data:image/png;base64,aGVsbG8=")), "hello");
  EXPECT_EQ(text_of(read_source("data:image/png;base64,aGVsbG8")), "hello");
  EXPECT_EQ(text_of(read_source("DATA:;base64,aGVs\nbG8=")), "hello");
  EXPECT_EQ(text_of(read_source("data:image/png;base64,aGVsbG8%3D")), "hello");
  EXPECT_EQ(text_of(read_source("data:text/plain,a%20b")), "a b");
  EXPECT_EQ(read_source("data:image/png;base64,aGVsbG8=").name, "data:image/png…");
}

TEST(DataText, RefusesBrokenTexts) {
  expect_failure("data:image/png;base64", ErrorKind::bad_request, "no comma");
  expect_failure("data:image/png;base64,aGV$bG8=", ErrorKind::bad_request, "'$'");
  expect_failure("data:image/png;base64,aGVsb", ErrorKind::bad_request, "incomplete");
  expect_failure("data:image/png;base64,aGVsbG8==", ErrorKind::bad_request, "incomplete");
  expect_failure("data:image/png;base64,aG=sbG8=", ErrorKind::bad_request, "expected A-Z");
  expect_failure("data:image/png;base64,", ErrorKind::bad_file, "empty");
  expect_failure("data:text/plain,%4", ErrorKind::bad_request, "percent escape");
  FetchLimits limits;
  limits.max_bytes = 3;
  expect_failure("data:image/png;base64,aGVsbG8=", ErrorKind::bad_file, "more than 3 bytes", limits);
}

// A server on a free port of 127.0.0.1 that hands each request's path to `answer`.
class TestServer {
 public:
  using Answer = std::function<void(int socket, const std::string& path)>;

  explicit TestServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_, 8) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~TestServer() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  std::string url(const std::string& path) const { return fmt::format("http://127.0.0.1:{}{}", port_, path); }
  static bool send_all(int socket, const std::string& text) {
    return send(socket, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

 private:
  void serve() {
    while (!stopping_) {
      const int socket = accept(listener_, nullptr, nullptr);
      if (socket < 0) continue;
      char request[4096];
      const ssize_t n = recv(socket, request, sizeof request, 0);
      const std::string text(request, n > 0 ? static_cast<std::size_t>(n) : 0);
      const std::size_t start = text.find(' ') + 1;
      answer_(socket, text.substr(start, text.find(' ', start) - start));
      close(socket);
    }
  }

  Answer answer_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

std::string response(const std::string& status, const std::string& headers, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + headers + "\r\n" + body;
}

class Http : public testing::Test {
 protected:
  static void answer(int socket, const std::string& path) {
    if (path == "/ok") {
      TestServer::send_all(socket, response("200 OK", "Content-Length: 5\r\n", "hello"));
    } else if (path == "/redirect") {
      TestServer::send_all(socket, response("302 Found", "Location: /ok\r\nContent-Length: 0\r\n", ""));
    } else if (path == "/loop") {
      TestServer::send_all(socket, response("302 Found", "Location: /loop\r\nContent-Length: 0\r\n", ""));
    } else if (path == "/to-file") {
      TestServer::send_all(socket, response("302 Found", "Location: file:///etc/hostname\r\n", ""));
    } else if (path == "/large") {
      TestServer::send_all(socket, response("200 OK", "Content-Length: 1000000\r\n", std::string(2000, 'x')));
    } else if (path == "/endless") {
      TestServer::send_all(socket, response("200 OK", "", ""));
      for (int i = 0; i < 1000 && TestServer::send_all(socket, std::string(4096, 'x')); ++i) {
      }
    } else if (path == "/short") {
      TestServer::send_all(socket, response("200 OK", "Content-Length: 500\r\n", "hello"));
    } else if (path == "/empty") {
      TestServer::send_all(socket, response("200 OK", "Content-Length: 0\r\n", ""));
    } else if (path == "/stalled") {
      char ignored;
      recv(socket, &ignored, 1, 0);  // until the client gives up
    } else {
      TestServer::send_all(socket, response("404 Not Found", "Content-Length: 4\r\n", "gone"));
    }
  }
  static FetchLimits small_limits() {
    FetchLimits limits;
    limits.max_bytes = 1000;
    limits.timeout_ms = 5000;
    return limits;
  }
  TestServer server_{answer};
};

TEST_F(Http, ReadsTheBody) {
  EXPECT_EQ(text_of(read_source(server_.url("/ok"))), "hello");
  EXPECT_EQ(text_of(read_source(server_.url("/redirect"))), "hello");
}

TEST_F(Http, IgnoresProxySettingsOfTheEnvironment) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  EXPECT_EQ(text_of(read_source(server_.url("/ok"))), "hello");
  unsetenv("http_proxy");
}

TEST_F(Http, ReportsAnErrorStatus) {
  expect_failure(server_.url("/nothing"), ErrorKind::device, "HTTP 404");
}

TEST_F(Http, StopsARedirectLoop) {
  expect_failure(server_.url("/loop"), ErrorKind::device, "more than 5 redirects");
}

TEST_F(Http, DoesNotFollowARedirectToAFile) {
  expect_failure(server_.url("/to-file"), ErrorKind::device, "cannot be fetched");
}

TEST_F(Http, RefusesALargeBodyByItsHeader) {
  expect_failure(server_.url("/large"), ErrorKind::bad_file, "more than 1000 bytes", small_limits());
}

TEST_F(Http, StopsALargeBodyWithoutALength) {
  expect_failure(server_.url("/endless"), ErrorKind::bad_file, "more than 1000 bytes", small_limits());
}

TEST_F(Http, ReportsABodyShorterThanAnnounced) {
  expect_failure(server_.url("/short"), ErrorKind::device, "cannot be fetched");
}

TEST_F(Http, RefusesAnEmptyBody) {
  expect_failure(server_.url("/empty"), ErrorKind::bad_file, "empty");
}

TEST_F(Http, GivesUpOnAStalledServer) {
  FetchLimits limits;
  limits.timeout_ms = 200;
  expect_failure(server_.url("/stalled"), ErrorKind::device, "within 200 ms", limits);
}

TEST(HttpClient, ReportsARefusedConnection) {
  int port = 0;
  {  // a port that was free a moment ago
    const TestServer closed([](int, const std::string&) {});
    const std::string url = closed.url("");
    port = std::atoi(url.substr(url.rfind(':') + 1).c_str());
  }
  expect_failure(fmt::format("http://127.0.0.1:{}/x", port), ErrorKind::device, "cannot be fetched");
}

TEST(HttpClient, RefusesAMalformedUrl) {
  expect_failure("http://", ErrorKind::bad_request, "not a valid URL");
}

}  // namespace
}  // namespace qwenvl
