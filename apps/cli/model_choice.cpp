// Which model a command opens when the user names one, or none.
#include "model_choice.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "qwenvl/tools.h"
#include "terminal.h"

namespace qwenvl::cli {

namespace {

namespace fs = std::filesystem;

// Where the demo model may lie: a build folder and an unpacked archive hold it beside the program,
// an installation at its fixed place under the prefix. Both hang on where the program really lies
// (links followed), so that an installation can be moved.
std::vector<fs::path> demo_places() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path folder = program.parent_path();
  return {folder / "share/qwenvl/demo", (folder / QWENVL_INSTALLED_DEMO).lexically_normal()};
}

// "" when it does not lie in any of its places.
std::string demo_folder() {
  for (const fs::path& place : demo_places()) {
    std::error_code ignored;
    if (fs::exists(place / "config.json", ignored)) return place.string();
  }
  return "";
}

std::string demo_is_missing() {
  std::vector<std::string> places;
  for (const fs::path& place : demo_places()) places.push_back(printable(place.string()));
  return fmt::format("the demo model that ships with qwenvl is not in {}",
                     places.empty() ? "any known place (/proc/self/exe cannot be read)"
                                    : fmt::format("{}", fmt::join(places, " or ")));
}

}  // namespace

std::string chosen_model(const std::string& given) {
  if (!given.empty() && given != kDemoModel) return given;
  if (given.empty() && is_model_in_cache(kPublishedModel)) return kPublishedModel;
  const std::string folder = demo_folder();
  if (given == kDemoModel) {
    if (!folder.empty()) return folder;
    throw Error(ErrorKind::bad_request,
                fmt::format("model 'demo': {}; install qwenvl again, or name another model (a "
                            "folder of that name is written ./demo)",
                            demo_is_missing()));
  }
  if (folder.empty()) {
    throw Error(ErrorKind::bad_request,
                fmt::format("no model: {0} is not in the Hugging Face cache, and {1}; download the "
                            "first with: hf download {0}, or name a folder with --model",
                            kPublishedModel, demo_is_missing()));
  }
  note(
      fmt::format("demo model: a small model for a narrow world, described in {}/README.md; about "
                  "anything else it answers, but wrongly. Get the real one (7.5 GB) with: hf "
                  "download {}",
                  printable(folder), kPublishedModel));
  return folder;
}

}  // namespace qwenvl::cli
