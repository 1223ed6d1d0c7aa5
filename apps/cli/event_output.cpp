// Events found in a video → lines or JSON, cut-out clips, a contact sheet.
// Before: localize.cpp or ask.cpp has the events.   After: the library cuts and draws.
#include "event_output.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "qwenvl/times.h"

namespace qwenvl::cli {

namespace {

using Json = nlohmann::ordered_json;

// Thousandths of a second, so that JSON shows no rounding noise.
double tidy(double value) { return std::round(value * 1000) / 1000; }

Json json_of(const FoundEvent& event) {
  return {{"begin", tidy(event.begin)},
          {"end", tidy(event.end)},
          {"begin_clock", clock_text(event.begin)},
          {"end_clock", clock_text(event.end)},
          {"confidence", tidy(event.confidence)},
          {"description", event.description}};
}

}  // namespace

std::string events_text(const LocalizeReport& report, bool is_json) {
  if (!is_json) {
    std::string out;
    for (const FoundEvent& event : report.events) {
      out += fmt::format("{} - {}  ({:.1f} - {:.1f} s)  {:.2f}  {}\n", clock_text(event.begin),
                         clock_text(event.end), event.begin, event.end, event.confidence,
                         printable(event.description));
    }
    return out.empty() ? "nothing was found\n" : out;
  }
  Json events = Json::array();
  for (const FoundEvent& event : report.events) events.push_back(json_of(event));
  return json_text({{"events", std::move(events)},
                    {"video_seconds", tidy(report.video_seconds)},
                    {"active_seconds", tidy(report.active_seconds)},
                    {"coarse_seconds", tidy(report.coarse_seconds)},
                    {"windows", {{"coarse", report.n_coarse}, {"fine", report.n_fine}}},
                    {"known_answers", report.n_known},
                    {"video_tokens", report.video_tokens},
                    {"judge", name_of(report.judge)},
                    {"warnings", report.warnings}}) +
         "\n";
}

}  // namespace qwenvl::cli
