// Time positions of clips that no 32-bit position can hold.
#include "models/qwen2_5_vl/prompt.h"

#include <gtest/gtest.h>

#include <cmath>

namespace qwenvl::qwen2_5_vl {
namespace {

TEST(Positions, a_clip_that_lasts_too_long_is_refused) {
  for (const TemporalIds kind : {TemporalIds::true_time, TemporalIds::whole_seconds}) {
    for (const double seconds : {1e12, 1e300, -1.0, double{NAN}, double{INFINITY}}) {
      const MediaRun clip{0, {3, 2, 2}, true, seconds};
      try {
        mrope_positions(3, std::span(&clip, 1), 2, kind);
        ADD_FAILURE() << seconds << " seconds are accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::bad_request) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
