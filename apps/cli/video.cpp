// qwenvl video: commands about videos, each in a file of its own.
#include "command.h"

namespace qwenvl::cli {

void add_video(CLI::App& program, Chosen& chosen) {
  CLI::App& command = *program.add_subcommand("video", "Look into videos");
  command.require_subcommand(1);
  add_video_plan(command, chosen);
  add_video_localize(command, chosen);
}

}  // namespace qwenvl::cli
