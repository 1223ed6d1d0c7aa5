// A stream of events → the whole reply, with the text shown as it comes; and the lines on standard
// error that go with it.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "qwenvl/engine.h"
#include "terminal.h"

namespace qwenvl::cli {

struct Reply {
  Answer answer;
  std::vector<float> first_logits;

  bool is_cancelled() const;
};

// How many have been reported before.
struct KnownMedia {
  std::size_t n_pictures = 0, n_clips = 0;
};

// Reads `stream` to its end; Ctrl-C cancels it, and what came until then is the reply. Sizes of
// pictures and clips are reported as soon as they are known, less the first that are `known`.
Reply read_reply(EventStream& stream, Progress& progress,
                 const std::function<void(std::string_view)>& show_text, KnownMedia known = {});

// "photo.jpg: 4000x3000, seen as 1288x966 (1564 tokens)"
// "frames: 16 frames of 320x240, 2 a second: 8 s, seen as 308x308 (968 tokens)"
void report_media(const Answer& answer, KnownMedia known);
// Where the time went, and the seed.
void report_stats(const Answer& answer);

}  // namespace qwenvl::cli
