// What the analysing pass costs beside decoding: the same file decoded, and decoded and measured,
// in turn. Usage: video_speed VIDEO ROUNDS. A file to measure (run.sh makes one and measures it):
//   ffmpeg -f lavfi -i testsrc2=s=1920x1080:r=30:d=60 -vf noise=alls=4:allf=t -c:v libx264 out.mp4
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/clock.h"
#include "media/video/analysis/signals.h"

namespace qwenvl::bench {
namespace {

double processor_ms() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

struct Times {
  std::vector<double> wall, processor;
};

template <class Work>
void time(const char* path, Times& times, Work&& work) {
  const auto reader = open_video({path, path, {}}, ReaderStyle::torchcodec);
  const double before = processor_ms();
  const Stopwatch watch;
  work(*reader);
  times.wall.push_back(watch.milliseconds());
  times.processor.push_back(processor_ms() - before);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(const char* path, int n_rounds) {
  Times plain, measured;
  double seconds = 0;
  for (int round = 0; round < n_rounds; ++round) {
    time(path, plain, [](VideoReader& reader) {
      for (std::int64_t i = 0; i < reader.index().size(); ++i) reader.move_to(i);
    });
    time(path, measured, [&](VideoReader& reader) {
      seconds = reader.index().end_seconds;
      measure_signals(reader, {});
    });
  }
  fmt::print("{:<22}{:>12}{:>18}{:>16}\n", "", "wall, ms", "processor, ms", "x real time");
  for (const auto& [name, times] : {std::pair{"decoding", &plain}, {"and measuring", &measured}}) {
    fmt::print("{:<22}{:>12.0f}{:>18.0f}{:>16.1f}\n", name, median(times->wall),
               median(times->processor), 1e3 * seconds / median(times->wall));
  }
  fmt::print("{:<22}{:>12.3f}{:>18.3f}\n", "ratio", median(measured.wall) / median(plain.wall),
             median(measured.processor) / median(plain.processor));
}

}  // namespace
}  // namespace qwenvl::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print("Usage: video_speed VIDEO ROUNDS\n");
    return 2;
  }
  qwenvl::bench::run(argv[1], std::max(1, std::atoi(argv[2])));
  return 0;
}
