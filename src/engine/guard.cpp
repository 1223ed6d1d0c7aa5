// Foreign exceptions → Error.
#include "engine/guard.h"

#include <new>

#include "core/check.h"

namespace qwenvl {

std::exception_ptr current_error() noexcept {
  try {
    throw;
  } catch (const Error&) {
    return std::current_exception();
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(
        Error(ErrorKind::out_of_memory, "memory: the system refused an allocation"));
  } catch (const std::exception& e) {
    return std::make_exception_ptr(
        Error(ErrorKind::internal, std::string("unexpected failure: ") + e.what()));
  } catch (...) {
    return std::make_exception_ptr(Error(ErrorKind::internal, "unexpected failure"));
  }
}

}  // namespace qwenvl
