// A folder of pictures → the frames of a clip, in order of time.
// Before: items.cpp found a folder among the arguments.   After: the engine reads the files.
#include "frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "terminal.h"

namespace qwenvl::cli {

namespace {

namespace fs = std::filesystem;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The digits at text[at …], without leading zeros; `at` moves behind them.
std::string_view number_at(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(begin, at - begin);
}

// Negative, zero or positive; names that differ only in leading zeros are equal here.
int compare_naturally(std::string_view a, std::string_view b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view x = number_at(a, i), y = number_at(b, j);
      if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
      if (const int order = x.compare(y); order != 0) return order;
    } else {
      if (a[i] != b[j])
        return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]) ? -1 : 1;
      ++i, ++j;
    }
  }
  return static_cast<int>(i < a.size()) - static_cast<int>(j < b.size());
}

bool comes_before(const std::string& a, const std::string& b) {
  const int order = compare_naturally(a, b);
  return order != 0 ? order < 0 : a < b;
}

std::vector<std::string> picture_names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code unreadable;  // then it is no file that could be opened
    if (name[0] != '.' && is_picture_name(name) && it->is_regular_file(unreadable))
      names.push_back(name);
  }
  if (error) {
    throw Error(ErrorKind::bad_file,
                fmt::format("{}: cannot be read: {}", printable(folder), error.message()));
  }
  std::sort(names.begin(), names.end(), comes_before);
  return names;
}

std::string lower_extension(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

}  // namespace

bool is_picture_name(const std::string& name) {
  static const std::set<std::string> kExtensions = {
      ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"};
  return kExtensions.count(lower_extension(name)) != 0;
}

bool is_video_name(const std::string& name) {
  static const std::set<std::string> kExtensions = {".mp4", ".m4v", ".mov",  ".mkv", ".webm",
                                                    ".avi", ".mpg", ".mpeg", ".ts",  ".m2ts",
                                                    ".wmv", ".flv", ".3gp",  ".ogv"};
  return kExtensions.count(lower_extension(name)) != 0;
}

std::vector<Picture> frames_in(const std::string& folder) {
  std::error_code error;
  if (fs::exists(fs::path(folder) / "config.json", error)) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("'{}' is the folder of a model: pass it with --model", printable(folder)));
  }
  std::vector<Picture> frames;
  for (const std::string& name : picture_names_in(folder)) {
    frames.emplace_back().source = (fs::path(folder) / name).string();
  }
  if (frames.empty()) {
    throw Error(ErrorKind::bad_request,
                fmt::format("'{}' is a folder without pictures: a folder is a clip, its pictures "
                            "are the frames (if it is text, pass it with --text)",
                            printable(folder)));
  }
  return frames;
}

}  // namespace qwenvl::cli
