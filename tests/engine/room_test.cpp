// Who may enter a room of memory.
#include "engine/scheduling/room.h"

#include <gtest/gtest.h>

#include <optional>

#include "support/error_of.h"

namespace qwenvl {
namespace {

TEST(Room, RefusesWhatDoesNotFitByItself) {
  Room room(100'000'000);
  EXPECT_EQ(error_of([&] { room.enter(40'000'000, 60'000'000); }), "");
  const std::string error = error_of([&] { room.enter(40'000'000, 61'000'000); });
  EXPECT_NE(error.find("out_of_memory: request: it takes up to 101.00 MB (40.00 MB of pixels), "
                       "expected at most the 100.00 MB"),
            std::string::npos)
      << error;
}

TEST(Room, KeepsSpaceForWhoeverWaitsToBegin) {
  Room room(100);
  std::optional<Room::Place> first = room.enter(30, 60);
  // 30 + 20 of pixels and the larger rest, 60: too much, though 20 + 10 alone would fit.
  EXPECT_NE(error_of([&] { room.enter(20, 10); }).find("1 requests in flight"), std::string::npos);
  const Room::Place second = room.enter(10, 10);
  EXPECT_EQ(room.left(60), 0);
  first.reset();
  EXPECT_EQ(room.left(0), 90);
}

TEST(Room, IsWholeAgainWhenAllHaveLeft) {
  Room room(100);
  { const Room::Place place = room.enter(10, 90); }
  EXPECT_EQ(error_of([&] { room.enter(90, 10); }), "");
  EXPECT_EQ(room.left(0), 100);
}

}  // namespace
}  // namespace qwenvl
