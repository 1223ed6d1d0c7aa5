// What the user typed → the parts of a message: which arguments are pictures, which are text.
#include "items.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "options.h"
#include "qwenvl/tools.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20;  // as much as is fetched from a URL

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return out;
}

// A URL has no spaces, so "data: what does it show?" is text.
bool is_url(const std::string& argument) {
  constexpr std::array<std::string_view, 4> kSchemes = {"http://", "https://", "file://", "data:"};
  if (argument.find(' ') != std::string::npos) return false;
  const std::string start = lower(argument.substr(0, 8));
  return std::any_of(kSchemes.begin(), kSchemes.end(), [&](std::string_view scheme) {
    return start.compare(0, scheme.size(), scheme) == 0;
  });
}

bool is_remote(const std::string& argument) {
  const std::string start = lower(argument.substr(0, 8));
  return start.rfind("http://", 0) == 0 || start.rfind("https://", 0) == 0;
}

bool has_picture_extension(const std::string& argument) {
  static const std::set<std::string> kExtensions = {
      ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"};
  return kExtensions.count(lower(std::filesystem::path(argument).extension().string())) != 0;
}

bool has_space(const std::string& argument) {
  return argument.find_first_of(" \t\r\n") != std::string::npos;
}

std::string shortened(const std::string& argument) {
  const std::string text = printable(argument.substr(0, 100));
  return argument.size() > 100 ? text + "…" : text;
}

// One "N:key=value,…" applied to the options of picture N.
void apply_image_options(const std::string& text, std::map<int, PictureOptions>& of_picture,
                         const PictureOptions& common, int n_pictures) {
  const std::string place = fmt::format("--image-options '{}'", printable(text));
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    throw Error(ErrorKind::bad_request,
                place + ": expected NUMBER:key=value,… such as 2:max_pixels=501760");
  }
  const std::int64_t number = parse_integer(text.substr(0, colon), place);
  if (number < 1 || number > n_pictures) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("{}: there is no picture {}; the request has {}", place, number, n_pictures));
  }
  const auto [entry, is_new] = of_picture.emplace(static_cast<int>(number), common);
  if (!is_new)
    throw Error(ErrorKind::bad_request,
                fmt::format("{}: given twice for picture {}", place, number));
  PictureOptions& options = entry->second;

  std::istringstream pairs(text.substr(colon + 1));
  int n_pairs = 0;
  for (std::string pair; std::getline(pairs, pair, ','); ++n_pairs) {
    const auto equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    const std::string value_text = equals == std::string::npos ? "" : pair.substr(equals + 1);
    const std::int64_t value =
        parse_integer(value_text, fmt::format("{}: {}", place, printable(key)));
    if (value < 1 || value > 1'000'000'000) {
      throw Error(ErrorKind::bad_request,
                  fmt::format("{}: {} must be 1 to 1000000000", place, printable(key)));
    }
    if (key == "min_pixels") {
      options.min_pixels = value;
    } else if (key == "max_pixels") {
      options.max_pixels = value;
    } else if (key == "resized_height") {
      options.resized_height = static_cast<int>(value);
    } else if (key == "resized_width") {
      options.resized_width = static_cast<int>(value);
    } else {
      throw Error(
          ErrorKind::bad_request,
          fmt::format("{}: unknown key '{}'; known: min_pixels, max_pixels, resized_height, "
                      "resized_width",
                      place, printable(key)));
    }
  }
  if (n_pairs == 0) throw Error(ErrorKind::bad_request, place + ": no key=value after the colon");
}

}  // namespace

Item::Kind classify(const std::string& argument) {
  if (argument == "-" || is_url(argument)) return Item::Kind::picture;
  std::error_code error;  // e.g. a text too long to be a file name: then no such file exists
  const auto status = std::filesystem::status(argument, error);
  if (std::filesystem::is_directory(status)) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("'{}' is a folder; name a picture in it, or pass it as text with --text",
                    shortened(argument)));
  }
  if (std::filesystem::exists(status)) return Item::Kind::picture;
  if (has_picture_extension(argument) && !has_space(argument)) {
    throw Error(ErrorKind::bad_file,
                fmt::format("{}: no such picture (if it is text, pass it with --text)",
                            shortened(argument)));
  }
  return Item::Kind::text;
}

std::vector<Part> make_parts(const std::vector<Item>& items, const PictureOptions& common,
                             const std::vector<std::string>& image_options) {
  std::vector<Part> parts;
  int n_pictures = 0;
  bool is_input_used = false;
  for (const Item& item : items) {
    const auto kind = item.kind == Item::Kind::automatic ? classify(item.value) : item.kind;
    if (kind == Item::Kind::text) {
      parts.push_back(Part::words(item.value));
      continue;
    }
    ++n_pictures;
    Part part = Part::picture(item.value, common);
    if (item.value == "-") {
      // Read here, once: the picture may be needed again, to draw on.
      if (is_input_used) throw Error(ErrorKind::bad_request, "'-' (standard input) is given twice");
      is_input_used = true;
      const std::string bytes = read_input(kMaxInputBytes);
      if (bytes.empty())
        throw Error(ErrorKind::bad_file, "standard input: empty, expected a picture");
      part.image.source = "standard input";
      part.image.bytes.resize(bytes.size());
      std::memcpy(part.image.bytes.data(), bytes.data(), bytes.size());
    } else if (is_remote(item.value)) {
      part.image = read_picture(part.image);  // once: a second download could give another picture
    }
    parts.push_back(std::move(part));
  }

  std::map<int, PictureOptions> of_picture;
  for (const std::string& text : image_options)
    apply_image_options(text, of_picture, common, n_pictures);
  int number = 0;
  for (Part& part : parts) {
    if (part.kind != Part::Kind::picture) continue;
    const auto own = of_picture.find(++number);
    if (own != of_picture.end()) part.image.options = own->second;
  }
  return parts;
}

std::vector<const Picture*> pictures_of(const std::vector<Part>& parts) {
  std::vector<const Picture*> out;
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::picture) out.push_back(&part.image);
  }
  return out;
}

}  // namespace qwenvl::cli
