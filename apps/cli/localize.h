// qwenvl video localize, also reached as qwenvl ask … --localize.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "command.h"
#include "qwenvl/localize.h"

namespace qwenvl::cli {

// What is made of the events that were found.
struct EventFiles {
  std::string clips_folder;  // "": none
  std::string sheet_path;    // "": none
};

struct LocalizeCommand {
  EngineOptions engine;
  LocalizeOptions options;
  EventFiles files;
  std::string judge = "auto";
  bool is_json = false;
};

// Budget, rates, judge and state file; where the command searches only if `needed` is given, they
// need that.
void add_localize_options(CLI::App& command, LocalizeCommand& localize,
                          CLI::Option* needed = nullptr);
int run_localize(LocalizeCommand localize);

}  // namespace qwenvl::cli
