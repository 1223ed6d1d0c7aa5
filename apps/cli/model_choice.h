// Which model a command opens when the user names one, or none.
// Before: options.cpp read --model and QWENVL_MODEL.   After: the engine opens what comes out.
#pragma once

#include <string>

namespace qwenvl::cli {

inline constexpr const char* kPublishedModel = "Qwen/Qwen2.5-VL-3B-Instruct";
inline constexpr const char* kDemoModel = "demo";

// The model to open for what the user gave ("": nothing). Without a name it is the published model
// when the cache has it, else the demo model that ships with the program, and standard error says
// so. Throws bad_request when neither is there.
std::string chosen_model(const std::string& given);

}  // namespace qwenvl::cli
