// The verbs as obvious loops: the oracle that every other back end is tested against.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace qwenvl {

std::unique_ptr<Backend> make_reference_backend();

}  // namespace qwenvl
