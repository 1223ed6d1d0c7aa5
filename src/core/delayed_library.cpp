#include "core/delayed_library.h"

#include <dlfcn.h>

#include "core/check.h"

namespace qwenvl {

// Two threads may both load it: the system then counts two users of one library.
void DelayedLibrary::try_load() noexcept {
  if (handle_.load(std::memory_order_acquire)) return;
  if (void* handle = ::dlopen(file_, RTLD_LAZY | RTLD_LOCAL)) {
    handle_.store(handle, std::memory_order_release);
  }
}

void* DelayedLibrary::handle() {
  try_load();
  void* handle = handle_.load(std::memory_order_acquire);
  if (!handle) {
    const char* why = ::dlerror();
    fail(ErrorKind::device, "{} need {}, which cannot be loaded ({}): install {}", purpose_, file_,
         why ? why : "no reason given", package_);
  }
  return handle;
}

void* DelayedLibrary::find(const char* function) {
  void* address = ::dlsym(handle(), function);
  if (!address)
    fail(ErrorKind::device, "{} need {} of {}, which has no such function: install {}", purpose_,
         function, file_, package_);
  return address;
}

}  // namespace qwenvl
