// Events of a video → clips and a contact sheet.
// Before: localize.cpp found them, or an answer named them.   After: media/ encodes and draws.
#include "qwenvl/excerpts.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "engine/guard.h"
#include "engine/inputs/media_inputs.h"
#include "media/contact_sheet.h"
#include "media/draw.h"
#include "media/resize.h"
#include "media/video/clip_writer.h"
#include "qwenvl/times.h"

namespace qwenvl {
namespace {

constexpr std::size_t kMostRows = 40;
constexpr int kOverviewCells = 12;

std::shared_ptr<Video> opened(const Clip& video) {
  if (!video.video && video.source.empty() && video.bytes.empty())
    fail(ErrorKind::bad_request, "clips and contact sheets are cut from videos, found none");
  return open_video_of(video, {});
}

// "01-00m12.50s.mp4": sorts by the order of the events.
std::string file_name(std::size_t i, double seconds) {
  const auto hundredths = static_cast<long long>(std::llround(std::max(seconds, 0.0) * 100));
  return fmt::format("{:02}-{:02}m{:02}.{:02}s.mp4", i + 1, hundredths / 6000,
                     hundredths / 100 % 60, hundredths % 100);
}

// The frame shown at `seconds`, already small.
SheetCell cell_at(VideoReader& reader, double seconds) {
  const std::vector<double>& shown = reader.index().seconds;
  const auto after = std::upper_bound(shown.begin(), shown.end(), seconds + 1e-6);
  const auto frame = std::max<std::int64_t>(0, after - shown.begin() - 1);
  reader.move_to(frame);
  const Image image = reader.rgb();
  return {resize_bicubic(image, sheet_cell_height(image.height, image.width), kSheetCellWidth,
                         ResizeKernel::pillow),
          clock_text(shown[static_cast<std::size_t>(frame)])};
}

// `n` frames from [begin, end), the middle of each part.
SheetRow row_of(VideoReader& reader, double begin, double end, int n) {
  SheetRow row;
  for (int i = 0; i < n; ++i)
    row.cells.push_back(cell_at(reader, begin + (end - begin) * (i + 0.5) / n));
  return row;
}

void draw_sheet(const Clip& video, const std::vector<FoundEvent>& events,
                const std::string& png_path) {
  const std::shared_ptr<Video> held = opened(video);
  MediaInputs::Lease lease(*held);
  VideoReader* reader = &lease.reader();
  const double first = reader->index().seconds.front(), last = reader->index().end_seconds;
  const double length = std::max(last - first, 1e-9);
  std::vector<SheetRow> rows;
  rows.push_back(row_of(*reader, first, last, kOverviewCells));
  rows[0].heading = fmt::format("all of it: {}", clock_text(last));
  rows[0].colour = kPlainColour;
  for (std::size_t i = 0; i < std::min(events.size(), kMostRows); ++i) {
    const FoundEvent& event = events[i];
    SheetRow row = row_of(*reader, event.begin, event.end, kSheetColumns);
    row.heading = fmt::format("{}  {} - {}  {:.2f}  {}", i + 1, clock_text(event.begin),
                              clock_text(event.end), event.confidence, event.description);
    row.colour = i;
    row.begin = std::clamp((event.begin - first) / length, 0.0, 1.0);
    row.end = std::clamp((event.end - first) / length, 0.0, 1.0);
    rows.push_back(std::move(row));
  }
  write_png(contact_sheet(reader->info().name, rows), png_path);
}

std::vector<CutClip> cut(const Clip& video, const std::vector<FoundEvent>& events,
                         const std::string& folder, const CutProgress& progress) {
  std::vector<CutClip> out;
  if (events.empty()) return out;
  const std::shared_ptr<Video> held = opened(video);
  MediaInputs::Lease lease(*held);
  VideoReader* reader = &lease.reader();
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (progress) progress(i);
    const std::string path =
        (std::filesystem::path(folder) / file_name(i, events[i].begin)).string();
    const WrittenClip clip = write_clip(*reader, events[i].begin, events[i].end, path);
    out.push_back({path, clip.begin, clip.end, static_cast<int>(clip.n_frames), clip.encoder});
  }
  return out;
}

}  // namespace

std::vector<CutClip> cut_events(const Clip& video, const std::vector<FoundEvent>& events,
                                const std::string& folder, const CutProgress& progress) {
  return guarded([&] { return cut(video, events, folder, progress); });
}

void draw_contact_sheet(const Clip& video, const std::vector<FoundEvent>& events,
                        const std::string& png_path) {
  guarded([&] { draw_sheet(video, events, png_path); });
}

}  // namespace qwenvl
