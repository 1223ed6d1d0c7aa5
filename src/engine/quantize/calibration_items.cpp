// Turns the files of a folder into conversations.
#include "engine/quantize/calibration_items.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/check.h"
#include "core/mapped_file.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kQuestion =
    "Describe this image in detail, and read all the text that is in it.";
constexpr std::size_t kMaxTextBytes = 64u << 20, kPartBytes = 4096;

TemplatePart text_part(std::string text) { return {TemplatePart::Kind::text, std::move(text)}; }

TemplatePart image_part() { return {TemplatePart::Kind::image, ""}; }

bool has_ending(const fs::path& path, std::initializer_list<const char*> endings) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

std::string text_of(const fs::path& path) {
  const std::string text = read_file(path, kMaxTextBytes);
  const std::size_t at = find_invalid_utf8(text);
  if (at != std::string::npos) {
    fail(ErrorKind::bad_file, "{}: byte {} is not UTF-8; convert the text to UTF-8", path.string(),
         at);
  }
  return text;
}

// Where a part that begins at `begin` ends: behind a line, else behind a word, else behind any
// whole character.
std::size_t end_of_part(const std::string& text, std::size_t begin) {
  if (text.size() - begin <= kPartBytes) return text.size();
  for (const char* separators : {"\n", " "}) {
    const std::size_t at = text.find_last_of(separators, begin + kPartBytes - 1);
    if (at != std::string::npos && at >= begin + kPartBytes / 2) return at + 1;
  }
  std::size_t end = begin + kPartBytes;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

void add_texts(const fs::path& path, std::vector<CalibrationItem>& items) {
  const std::string text = text_of(path);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    fail(ErrorKind::bad_file, "{}: holds no text", path.string());
  }
  int part = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = end_of_part(text, begin);
    CalibrationItem& item = items.emplace_back();
    item.name = fmt::format("{}, part {}", path.filename().string(), ++part);
    item.messages = {{"user", {text_part(text.substr(begin, end - begin))}, {}}};
    begin = end;
  }
}

[[noreturn]] void refuse(const std::string& where, const char* expected) {
  fail(ErrorKind::bad_file, "{}: expected {}", where, expected);
}

const Json& field(const Json& object, const char* name, const std::string& where) {
  if (!object.is_object() || !object.contains(name)) {
    fail(ErrorKind::bad_file, "{}: expected an object with {}", where, quoted(name));
  }
  return object.at(name);
}

std::string text_field(const Json& object, const char* name, const std::string& where) {
  const Json& value = field(object, name, where);
  if (!value.is_string()) fail(ErrorKind::bad_file, "{}: {} is no text", where, quoted(name));
  return value.get<std::string>();
}

TemplateMessage message_of(const Json& json, const fs::path& folder, const std::string& where,
                           std::vector<fs::path>& pictures) {
  TemplateMessage message{text_field(json, "role", where), {}, {}};
  const Json& content = field(json, "content", where);
  if (content.is_string()) {
    message.parts.push_back(text_part(content.get<std::string>()));
    return message;
  }
  if (!content.is_array()) refuse(where, "content that is text or a list of parts");
  for (const Json& part : content) {
    const std::string type = text_field(part, "type", where);
    if (type == "text") {
      message.parts.push_back(text_part(text_field(part, "text", where)));
    } else if (type == "image") {
      message.parts.push_back(image_part());
      pictures.push_back(folder / text_field(part, "image", where));
    } else {
      refuse(where, "parts of type text or image");
    }
  }
  return message;
}

void add_conversations(const fs::path& path, std::vector<CalibrationItem>& items) {
  const std::string text = text_of(path);
  int line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string one = text.substr(begin, end - begin);
    begin = end + 1;
    const std::string where = fmt::format("{}, line {}", path.filename().string(), ++line);
    if (one.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json json = Json::parse(one, nullptr, false);
    if (json.is_discarded()) refuse(where, "JSON");
    const Json& messages = field(json, "messages", where);
    if (!messages.is_array() || messages.empty()) refuse(where, "a list of messages");
    CalibrationItem& item = items.emplace_back();
    item.name = where;
    for (const Json& message : messages) {
      item.messages.push_back(message_of(message, path.parent_path(), where, item.pictures));
    }
  }
}

void add_picture(const fs::path& path, std::vector<CalibrationItem>& items) {
  CalibrationItem& item = items.emplace_back();
  item.name = path.filename().string();
  item.messages = {{"user", {image_part(), text_part(kQuestion)}, {}}};
  item.pictures = {path};
}

}  // namespace

std::vector<CalibrationItem> read_calibration_items(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail(ErrorKind::bad_request, "calibration: {}: {}, expected a folder of pictures and texts",
         quoted(folder.string()), fs::exists(folder, error) ? "is no folder" : "does not exist");
  }
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    files.push_back(at->path());
  }
  if (error) fail(ErrorKind::bad_file, "{}: cannot be read: {}", folder.string(), error.message());
  std::sort(files.begin(), files.end());
  std::vector<CalibrationItem> items;
  for (const fs::path& file : files) {
    if (has_ending(file, {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})) {
      add_picture(file, items);
    } else if (has_ending(file, {".txt"})) {
      add_texts(file, items);
    } else if (has_ending(file, {".jsonl"})) {
      add_conversations(file, items);
    }
  }
  if (items.empty()) {
    fail(ErrorKind::bad_request,
         "calibration: {}: holds none of the files that are used, expected pictures (.jpg, .png, "
         ".webp, .gif, .bmp, .tif), .txt or .jsonl",
         quoted(folder.string()));
  }
  return items;
}

}  // namespace qwenvl
