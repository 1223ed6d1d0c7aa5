// What the user typed → the parts of a message: which arguments are pictures, clips, text.
#include "items.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>
#include <string_view>

#include "frames.h"
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

// A picture, or a clip where that turns out to be in a source that is read here anyway.
// `is_input_used`: whether standard input has been taken.
Part make_picture(const std::string& source, const MediaOptions& media, bool may_be_video,
                  bool& is_input_used) {
  Part part = Part::picture(source, media.pictures);
  if (source == "-") {
    // Read here, once: the picture may be needed again, to draw on.
    if (is_input_used) throw Error(ErrorKind::bad_request, "'-' (standard input) is given twice");
    is_input_used = true;
    const std::string bytes = read_input(kMaxInputBytes);
    if (bytes.empty())
      throw Error(ErrorKind::bad_file, "standard input: empty, expected a picture or a video");
    part.image.source = "standard input";
    part.image.bytes.resize(bytes.size());
    std::memcpy(part.image.bytes.data(), bytes.data(), bytes.size());
  } else if (is_remote(source)) {
    part.image = read_picture(part.image);  // once: a second download could give another picture
  }
  if (!may_be_video || part.image.bytes.empty() || media_kind(part.image) == MediaKind::picture)
    return part;
  Part clip = Part::video_file(part.image.source, media.clip());
  clip.video.bytes = std::move(part.image.bytes);
  return clip;
}

}  // namespace

Item::Kind classify(const std::string& argument) {
  if (argument == "-" || is_url(argument)) return Item::Kind::picture;
  std::error_code error;  // e.g. a text too long to be a file name: then no such file exists
  const auto status = std::filesystem::status(argument, error);
  if (std::filesystem::is_directory(status)) return Item::Kind::clip;
  if (std::filesystem::exists(status)) {
    // What is no video that FFmpeg knows, but is called one, is damaged: then that is to be said.
    const bool is_video = media_kind({argument, {}, {}}) == MediaKind::video;
    return is_video || is_video_name(argument) ? Item::Kind::clip : Item::Kind::picture;
  }
  if ((is_picture_name(argument) || is_video_name(argument)) && !has_space(argument)) {
    throw Error(ErrorKind::bad_file,
                fmt::format("{}: no such {} (if it is text, pass it with --text)",
                            shortened(argument), is_video_name(argument) ? "video" : "picture"));
  }
  return Item::Kind::text;
}

Part make_clip(const std::string& source, const MediaOptions& media) {
  std::error_code error;
  if (!std::filesystem::is_directory(source, error)) return Part::video_file(source, media.clip());
  if (media.has_video_options()) {
    throw Error(
        ErrorKind::bad_request,
        fmt::format("{}: of a folder all pictures are seen; --nframes, --min-frames, "
                    "--max-frames, --video-start, --video-end and --sampling are for videos",
                    printable(source)));
  }
  Part part = Part::clip(frames_in(source), media.clip());
  part.video.name = source;
  return part;
}

std::vector<Part> make_parts(const std::vector<Item>& items, const MediaOptions& media,
                             const std::vector<std::string>& image_options) {
  std::vector<Part> parts;
  int n_pictures = 0, n_clips = 0;
  bool is_input_used = false;
  for (const Item& item : items) {
    const auto kind = item.kind == Item::Kind::automatic ? classify(item.value) : item.kind;
    if (kind == Item::Kind::text) {
      parts.push_back(Part::words(item.value));
      continue;
    }
    if (kind == Item::Kind::clip) {
      ++n_clips;
      parts.push_back(make_clip(item.value, media));
      continue;
    }
    const bool may_be_video = item.kind == Item::Kind::automatic;
    parts.push_back(make_picture(item.value, media, may_be_video, is_input_used));
    ++(parts.back().kind == Part::Kind::clip ? n_clips : n_pictures);
  }
  if (n_clips == 0 && media.has_clip_options()) {
    throw Error(ErrorKind::bad_request,
                "--fps, --nframes, --total-pixels and the like do nothing without a clip: a video "
                "or a folder of pictures");
  }

  std::map<int, PictureOptions> of_picture;
  for (const std::string& text : image_options)
    apply_image_options(text, of_picture, media.pictures, n_pictures);
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
