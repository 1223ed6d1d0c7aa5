// A file of what was asked and answered, so that a long run can stop and go on: one JSON object a
// line, the first says of which video and model. Questions that do not depend on the query (all
// events of a window) are answered for every later query, too. Before and after: localize.cpp.
#pragma once

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/video/look_plan.h"
#include "engine/video/window_answer.h"

namespace qwenvl {

class LocalizeState {
 public:
  // `identity` is compared with the file's first line, or becomes it. "": nothing is kept.
  // Throws bad_request when the file is of something else, device when it cannot be written.
  LocalizeState(const std::string& path, const std::string& identity);

  const std::optional<std::vector<Stretch>>& stretches() const { return stretches_; }
  void keep(const std::vector<Stretch>& stretches);
  const WindowAnswer* find(const std::string& question, const LookWindow& window) const;
  void keep(const std::string& question, const LookWindow& window, const WindowAnswer& answer);

 private:
  void read(const std::string& identity);
  void take_line(const std::string& line);
  void append(const std::string& line);

  const std::string path_;
  std::ofstream file_;
  std::optional<std::vector<Stretch>> stretches_;
  std::map<std::string, WindowAnswer> answers_;
};

}  // namespace qwenvl
