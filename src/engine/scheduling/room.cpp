// Bookkeeping under a limit.
// Before: scheduler.cpp is given a job.   After: it is queued, or its sender hears why not.
#include "engine/scheduling/room.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

Room::Place::~Place() {
  if (room_) room_->leave(pixels_);
}

Room::Place::Place(Place&& other) noexcept
    : room_(std::exchange(other.room_, nullptr)), pixels_(std::exchange(other.pixels_, 0)) {}

Room::Place& Room::Place::operator=(Place&& other) noexcept {
  std::swap(room_, other.room_);
  std::swap(pixels_, other.pixels_);
  return *this;
}

Room::Place Room::enter(std::int64_t pixels, std::int64_t rest) {
  if (pixels + rest > bytes_) {
    fail(ErrorKind::out_of_memory,
         "request: it takes up to {:.2f} MB ({:.2f} MB of pixels), expected at most the {:.2f} MB "
         "that max_memory_bytes leaves beside the model: make pictures smaller (max_pixels), lower "
         "max_new_tokens, keep the cache in 8 bits (kv_cache_type) or raise the limit",
         megabytes(pixels + rest), megabytes(pixels), megabytes(bytes_));
  }
  const std::lock_guard lock(mutex_);
  if (n_inside_ == 0) largest_rest_ = 0;
  const std::int64_t largest = std::max(largest_rest_, rest);
  if (pixels_ + pixels + largest > bytes_) {
    fail(ErrorKind::out_of_memory,
         "request: its {:.2f} MB of pixels have no room beside the {:.2f} MB of {} requests in "
         "flight under max_memory_bytes: send it again when some of them have ended",
         megabytes(pixels), megabytes(pixels_), n_inside_);
  }
  pixels_ += pixels;
  largest_rest_ = largest;
  ++n_inside_;
  return Place(*this, pixels);
}

std::int64_t Room::left(std::int64_t taken) const {
  const std::lock_guard lock(mutex_);
  return bytes_ - pixels_ - taken;
}

void Room::leave(std::int64_t pixels) {
  const std::lock_guard lock(mutex_);
  pixels_ -= pixels;
  --n_inside_;
}

}  // namespace qwenvl
