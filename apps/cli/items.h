// What the user typed → the parts of a message: which arguments are pictures, clips, text.
#pragma once

#include <string>
#include <vector>

#include "options.h"
#include "qwenvl/engine.h"

namespace qwenvl::cli {

// One argument in the order given. `automatic` arguments are told apart by classify().
struct Item {
  enum class Kind { automatic, picture, clip, text } kind = Kind::automatic;
  std::string value;
};

// A picture is "-", a URL (http://, https://, file://, data: and no spaces), or an existing file;
// but a file that holds a video is a clip, and so is a folder. Everything else is text; but what
// can only be a mistake is an error: a name with the extension of a picture or a video and no
// spaces that does not exist.
Item::Kind classify(const std::string& argument);

// The pictures in a folder as a clip; any other source as a video.
Part make_clip(const std::string& source, const MediaOptions& media);

// `image_options` are texts like "2:max_pixels=501760,min_pixels=3136": the second picture's own
// values, which replace those of `media`.
std::vector<Part> make_parts(const std::vector<Item>& items, const MediaOptions& media,
                             const std::vector<std::string>& image_options);

// The pictures of `parts`, in order.
std::vector<const Picture*> pictures_of(const std::vector<Part>& parts);

}  // namespace qwenvl::cli
