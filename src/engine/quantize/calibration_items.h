// What a calibration folder holds: pictures, texts, conversations.
// Before: quantize.cpp is given a folder.   After: calibration.cpp runs a model over the items.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace qwenvl {

struct CalibrationItem {
  std::string name;  // for messages: "photo.jpg", "notes.txt, part 3", "chats.jsonl, line 2"
  std::vector<TemplateMessage> messages;
  std::vector<std::filesystem::path> pictures;  // of the messages' image parts, in their order
};

// In the order of file names:
//   .jpg .jpeg .png .webp .gif .bmp .tif .tiff   a picture, asked for a description;
//   .txt     text, in parts of a few kilobytes;
//   .jsonl   a conversation in each line, {"messages": [{"role": …, "content": …}]}; content is
//   text
//            or a list of {"type": "text", "text": …} and {"type": "image", "image": path}, the
//            path seen from the folder.
// Other files are left alone. Throws bad_request (no such folder, nothing to use in it) and
// bad_file (what cannot be read). Pictures are not opened yet.
std::vector<CalibrationItem> read_calibration_items(const std::filesystem::path& folder);

}  // namespace qwenvl
