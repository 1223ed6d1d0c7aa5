// How a benchmark is shown: as a table, as JSON, as a plot.
// Before: bench.cpp has measured.   After: the terminal and files.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "qwenvl/bench.h"

namespace qwenvl::cli {

std::string table_of(const MachineBench& machine);
std::string table_of(const BenchReport& report);

nlohmann::ordered_json json_of(const MachineBench& machine);
nlohmann::ordered_json json_of(const BenchReport& report);

// SVG: one bar per stage, its length the share of the machine's limit.
std::string plot_of(const BenchReport& report);
// SVG: memory and arithmetic of one thread against all.
std::string plot_of(const MachineBench& machine);

}  // namespace qwenvl::cli
