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

// Reads `stream` to its end; Ctrl-C cancels it, and what came until then is the reply. Sizes of the
// pictures are reported as soon as they are known, less the first `n_known_pictures`.
Reply read_reply(EventStream& stream, Progress& progress,
                 const std::function<void(std::string_view)>& show_text,
                 std::size_t n_known_pictures = 0);

// "photo.jpg: 4000x3000, seen as 1288x966 (1564 tokens)"
void report_pictures(const std::vector<PictureInfo>& pictures, std::size_t n_known);
// Where the time went, and the seed.
void report_stats(const Answer& answer);

}  // namespace qwenvl::cli
