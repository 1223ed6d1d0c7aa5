// Events found in a video → lines or JSON, cut-out clips, a contact sheet.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "localize.h"
#include "qwenvl/localize.h"
#include "terminal.h"

namespace qwenvl::cli {

// --clips and --sheet.
void add_event_file_options(CLI::App& command, EventFiles& files);
// Throws bad_request where they cannot be written; makes the folder of the clips.
void check_event_files(const EventFiles& files);
void write_event_files(const EventFiles& files, const Clip& video,
                       const std::vector<FoundEvent>& events, Progress& progress);

// The times of the first choice in seconds of the request's only clip; none where it has several.
// What lies beyond what was seen is left out.
std::vector<FoundEvent> events_of(const Answer& answer);
// The same, and what lies beyond, in lines on standard error.
void report_times(const Answer& answer);

// A line for each event, or a JSON object.
std::string events_text(const LocalizeReport& report, bool is_json);

}  // namespace qwenvl::cli
