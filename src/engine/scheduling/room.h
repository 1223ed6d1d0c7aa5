// The memory that requests share under a limit: who may enter, and who may begin.
// Before: memory_plan.h says how much there is and what a request takes.   After: scheduler.h.
//
// A request holds its pixels from the moment it is submitted, the rest from when it begins. It is
// let in only while the pixels of all and the largest rest of any fit together: then whoever is
// first in line can begin as soon as the others have ended, and nobody waits for ever.
#pragma once

#include <cstdint>
#include <mutex>

namespace qwenvl {

class Room {
 public:
  explicit Room(std::int64_t bytes) : bytes_(bytes) {}

  // A request's place in the room; leaves when it is destroyed.
  class Place {
   public:
    Place() = default;
    Place(Room& room, std::int64_t pixels) : room_(&room), pixels_(pixels) {}
    ~Place();
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;

   private:
    Room* room_ = nullptr;
    std::int64_t pixels_ = 0;
  };

  // Called by any thread. Throws out_of_memory: the request alone has no room, or not beside those
  // that wait. `rest`: all that it takes besides pixels.
  Place enter(std::int64_t pixels, std::int64_t rest);
  // What is left of it when those that have begun take `taken`.
  std::int64_t left(std::int64_t taken) const;

 private:
  void leave(std::int64_t pixels);

  const std::int64_t bytes_;
  mutable std::mutex mutex_;  // guards the rest
  std::int64_t pixels_ = 0;
  std::int64_t largest_rest_ = 0;  // of those inside, or larger
  std::int64_t n_inside_ = 0;
};

}  // namespace qwenvl
