// A folder of pictures → the frames of a clip, in order of time.
#pragma once

#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl::cli {

// By the file's extension.
bool is_picture_name(const std::string& name);
bool is_video_name(const std::string& name);

// The pictures directly in `folder`, sorted by name with numbers compared as numbers (frame9 before
// frame10); hidden files and files that are no pictures are left out. Throws where none is left,
// and for the folder of a model.
std::vector<Picture> frames_in(const std::string& folder);

}  // namespace qwenvl::cli
