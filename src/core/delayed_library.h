// A shared library that is loaded when one of its functions is first called, not when the program
// starts: what reads videos or draws plots brings a hundred other libraries along, tens of
// megabytes that a picture's answer has no use for.
//
//     inline constinit DelayedLibrary zlib("libz.so.1", "packed files", "zlib1g");
//     inline constinit const DelayedFunction<decltype(::zlibVersion)> zlibVersion(zlib,
//     "zlibVersion");
//
// In a namespace of ours the object hides the function of the same name, so calls look as they
// always did. A call without such an object does not link.
#pragma once

#include <atomic>

namespace qwenvl {

class DelayedLibrary {
 public:
  // The file as the loader knows it; what it is needed for and which package has it, for messages.
  // All must outlive this.
  constexpr DelayedLibrary(const char* file, const char* purpose, const char* package)
      : file_(file), purpose_(purpose), package_(package) {}

  // The address of a function, for good: libraries stay loaded. Throws device when the library or
  // the function is not there. Any thread may call.
  void* find(const char* function);
  // Loads it now, if it is there.
  void try_load() noexcept;

 private:
  void* handle();

  const char *file_, *purpose_, *package_;
  std::atomic<void*> handle_{nullptr};
};

// Where a function of a delayed library is, once somebody asked.
class DelayedAddress {
 public:
  constexpr DelayedAddress(DelayedLibrary& library, const char* name)
      : library_(library), name_(name) {}

  void* get() const {
    void* found = found_.load(std::memory_order_acquire);
    if (!found) found_.store(found = library_.find(name_), std::memory_order_release);
    return found;
  }

 private:
  DelayedLibrary& library_;
  const char* name_;
  mutable std::atomic<void*> found_{nullptr};
};

// Calls it. Throws device when it is not there.
template <class Function>
class DelayedFunction;

template <class Result, class... Arguments>
class DelayedFunction<Result(Arguments...)> {
 public:
  constexpr DelayedFunction(DelayedLibrary& library, const char* name) : address_(library, name) {}

  Result operator()(Arguments... arguments) const {
    return reinterpret_cast<Result (*)(Arguments...)>(address_.get())(arguments...);
  }

 private:
  DelayedAddress address_;
};

// The same with further arguments of any type, as printf takes them.
template <class Result, class... Arguments>
class DelayedFunction<Result(Arguments..., ...)> {
 public:
  constexpr DelayedFunction(DelayedLibrary& library, const char* name) : address_(library, name) {}

  template <class... More>
  Result operator()(Arguments... arguments, More... more) const {
    return reinterpret_cast<Result (*)(Arguments..., ...)>(address_.get())(arguments..., more...);
  }

 private:
  DelayedAddress address_;
};

}  // namespace qwenvl
