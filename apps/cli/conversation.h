// A conversation and its file: the message list that the reference's chat template takes.
//
//   {"messages": [{"role": "system", "content": "Answer in French."},
//                 {"role": "user", "content": [{"type": "image", "image": "photo.jpg"},
//                                              {"type": "text", "text": "What is this?"}]},
//                 {"role": "assistant", "content": "Un chat."}]}
//
// A video is {"type": "video", "video": "clip.mp4", "fps": 2.0}, a list of frames
// {"type": "video", "video": ["frame1.png", "frame2.png"], "sample_fps": 2.0}.
#pragma once

#include <string>
#include <vector>

#include "options.h"
#include "qwenvl/engine.h"

namespace qwenvl::cli {

struct Conversation {
  std::string system;  // "": the model's own
  std::vector<Message> messages;

  std::vector<Message> with_system() const;
};

// Throw on files that cannot be written or read, and on anything in them that is not understood.
void save_conversation(const Conversation& conversation, const std::string& path);
Conversation load_conversation(const std::string& path, const MediaOptions& media);

}  // namespace qwenvl::cli
