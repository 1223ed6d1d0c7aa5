// QWENVL_TRACE=folder: every named intermediate as a .npy file, to be compared with the
// reference's.
#pragma once

#include <string>

#include "models/model.h"

namespace qwenvl {

// Files <step>_<name>_<layer>.npy, float32, in `folder` (created). Throws device when it cannot
// write.
Trace trace_to_folder(const std::string& folder);

}  // namespace qwenvl
