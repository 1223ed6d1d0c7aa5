// Damaged, hostile and foreign files: each ends in one clear error, or shows what decodes and says
// what was lost. Nothing crashes, hangs or takes much memory.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "media/video_files.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace qwenvl {
namespace {

std::string text_of(const std::string& clip) {
  const std::vector<std::byte> bytes = test::read_file(test::clip_path(clip));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string be(std::uint64_t value, int n_bytes) {
  std::string out;
  for (int i = n_bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> 8 * i));
  return out;
}

std::string cut(const std::string& clip, std::size_t percent) {
  const std::string text = text_of(clip);
  return text.substr(0, text.size() * percent / 100);
}

// What follows the first `marker` (plus `skip` bytes), replaced.
std::string patched(std::string text, const std::string& marker, std::size_t skip,
                    const std::string& with) {
  const std::size_t at = text.find(marker);
  EXPECT_NE(at, std::string::npos) << marker;
  return text.replace(at + marker.size() + skip, with.size(), with);
}

// One bit in every `step` bytes, from `begin` per cent on.
std::string flipped(const std::string& clip, std::size_t begin, std::size_t step) {
  std::string text = text_of(clip);
  for (std::size_t i = text.size() * begin / 100; i < text.size(); i += step)
    text[i] = static_cast<char>(text[i] ^ (1 << i % 8));
  return text;
}

std::string box(const std::string& type, const std::string& body) {
  return be(body.size() + 8, 4) + type + body;
}

std::string nested_boxes(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text = box(i % 2 == 0 ? "moov" : "trak", text);
  return box("ftyp", "isom" + be(512, 4) + "isom") + text;
}

// A header of the uncompressed format of YUV4MPEG, with one frame where the size allows.
std::string y4m(int width, int height, const std::string& rate, int n_frames) {
  std::string text = fmt::format("YUV4MPEG2 W{} H{} F{} Ip A1:1 C420jpeg\n", width, height, rate);
  const std::size_t n = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3 / 2;
  for (int i = 0; i < n_frames; ++i) text += "FRAME\n" + std::string(n < 1'000'000 ? n : 0, 'x');
  return text;
}

// The header of a container of VP8 frames, without any.
std::string ivf(int width, int height) {
  const auto le = [](int value, int n_bytes) {
    const std::string text = be(static_cast<std::uint64_t>(value), n_bytes);
    return std::string(text.rbegin(), text.rend());
  };
  return "DKIF" + le(0, 2) + le(32, 2) + "VP80" + le(width, 2) + le(height, 2) + le(30, 4) +
         le(1, 4) + le(1, 4) + le(0, 4) + le(100, 4) + std::string(108, 'x');
}

// An MP4 with other durations of its frames.
std::string timed(std::uint32_t timescale, std::uint32_t delta) {
  std::string text = patched(text_of("fps_5.mp4"), "mdhd", 12, be(timescale, 4));
  return patched(text, "stts", 12, be(delta, 4));
}

struct Damage {
  const char* name;
  std::function<std::string()> bytes;
  // Of the error, or of the warnings where frames come out; "": nothing needs to be said.
  const char* message;
  bool has_frames = false;
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

std::vector<Damage> damages() {
  const auto fixed = [](std::string text) { return [text] { return text; }; };
  return {
      {"Empty", fixed(""), "is empty (0 bytes)"},
      {"OneByte", fixed("x"), "not a video"},
      {"Zeros", fixed(std::string(100'000, '\0')), "not a video"},
      {"Text", fixed("WEBVTT is no video, and this is a letter.\n"), "video"},
      {"Picture", [] { return text_of("../../images/jpeg_420.jpg"); }, ""},
      {"SoundOnly", [] { return text_of("only_sound.m4a"); }, "holds sound but no video"},
      {"TablesMissing", [] { return cut("fps_30.mp4", 50); }, "cannot be opened as mov"},
      {"HeaderOnly", [] { return text_of("fps_30.mp4").substr(0, 40); }, "cannot be opened as mov"},
      {"ZeroLengthMoov", fixed(box("ftyp", "isomisom") + be(0, 4) + "moov"), "mov"},
      {"BoxLargerThanTheFile", fixed(box("ftyp", "isomisom") + be(1u << 30, 4) + "moov"), "mov"},
      {"DeepBoxes", [] { return nested_boxes(5000); }, "mov"},
      {"CutFragments", [] { return cut("fragments.mp4", 70); }, "", true},
      {"CutMatroska", [] { return cut("vfr.mkv", 60); }, "the file is incomplete", true},
      {"CutTransportStream", [] { return cut("transport.ts", 60); }, "", true},
      {"CutAvi", [] { return cut("decoding_times.avi", 60); }, "the file is incomplete", true},
      {"CutWebp", [] { return cut("animation.webp", 60); }, "the file is incomplete", true},
      {"CutGif", [] { return cut("animation.gif", 60); }, "", true},
      {"WebpHeader", [] { return text_of("animation.webp").substr(0, 34); }, "damaged WebP"},
      {"FlippedH264", [] { return flipped("transport.ts", 30, 401); }, "", true},
      {"FlippedMatroska", [] { return flipped("ten_minutes.mkv", 50, 3001); }, "", true},
      {"FlippedVp9", [] { return flipped("odd_size.webm", 40, 97); }, "", true},
      {"PlaylistOfFiles",
       fixed("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
       "names other files or streams"},
      {"ListOfFiles", fixed("ffconcat version 1.0\nfile '/etc/passwd'\nfile 'b.mp4'\n"),
       "names other files or streams"},
      {"SessionDescription",
       fixed("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP "
             "96\na=rtpmap:96 H264/90000\n"),
       "video"},
      {"OnePixel", [] { return y4m(1, 1, "10:1", 3); }, "", true},
      {"SixteenThousandSquared", [] { return ivf(16384, 16384); },
       "frames of 16384 x 16384 pixels, expected"},
      {"OneLongRow", [] { return y4m(60000, 1, "10:1", 1); }, "frames of 60000 x 1"},
      {"H264OfAHugeSize",
       [] { return patched(text_of("fps_5.mp4"), "avc1", 24, be(65535, 2) + be(65535, 2)); }, ""},
      {"NoFramesASecond", [] { return y4m(16, 16, "0:1", 3); }, "", true},
      {"AThousandMillionFramesASecond", [] { return y4m(16, 16, "1000000000:1", 3); },
       "expected at most 100000 frames a second"},
      {"NoTimePasses", [] { return timed(90000, 0); }, "repeat the time of another", true},
      {"FourThousandMillionSecondsAFrame", [] { return timed(1, 0x7fffffff); }, ""},
  };
}

class BrokenVideo : public ::testing::TestWithParam<Damage> {};

TEST_P(BrokenVideo, EndsInOneClearErrorOrShowsWhatDecodes) {
  const std::string text = GetParam().bytes();
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  std::string said;
  bool has_frames = false;
  const std::string error = error_of([&] {
    const auto reader = test::open_bytes({first, first + text.size()});
    for (const std::int64_t i : {reader->index().size() - 1, std::int64_t{0}}) {
      reader->move_to(i);
      const Image image = reader->rgb();
      EXPECT_EQ(image.rgb.size(), std::size_t{3} * static_cast<std::size_t>(reader->info().width) *
                                      static_cast<std::size_t>(reader->info().height));
    }
    EXPECT_GT(reader->info().average_fps, 0);
    has_frames = true;
    said = fmt::format("{}", fmt::join(reader->warnings(), "; "));
  });
  if (!has_frames) {
    said = error;
    EXPECT_TRUE(said.starts_with("bad_file") || said.starts_with("unsupported")) << said;
    EXPECT_NE(said.find("clip: "), std::string::npos) << said;
    EXPECT_LT(said.size(), 300u) << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
  EXPECT_TRUE(has_frames || !GetParam().has_frames) << said;
  EXPECT_NE(said.find(GetParam().message), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(Table, BrokenVideo, ::testing::ValuesIn(damages()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(BrokenVideos, EveryLengthOfAFileEndsWell) {
  for (const char* clip : {"two_frames.mp4", "vp8.webm", "animation.webp", "no_times.m4v"}) {
    const std::string text = text_of(clip);
    for (std::size_t n = 1; n < text.size(); n += text.size() / 40 + 1) {
      const auto* first = reinterpret_cast<const std::byte*>(text.data());
      const std::string error = error_of([&] {
        const auto reader = test::open_bytes({first, first + n});
        reader->move_to(reader->index().size() - 1);
        reader->rgb();
      });
      EXPECT_TRUE(error.empty() || error.starts_with("bad_file") ||
                  error.starts_with("unsupported"))
          << clip << " " << n << ": " << error;
    }
  }
}

TEST(BrokenVideos, AFolderAMissingFileAndADeviceAreErrors) {
  const std::pair<const char*, const char*> cases[] = {{"/tmp", "is not a regular file"},
                                                       {"/dev/zero", "is not a regular file"},
                                                       {"/nowhere/clip.mp4", "cannot be opened"}};
  for (const auto& [path, message] : cases) {
    const std::string error = error_of([&] { test::open_file(path); });
    EXPECT_NE(error.find(message), std::string::npos) << error;
  }
}

// A server may hold a video for days.
TEST(BrokenVideos, AFileThatIsEmptiedWhileItIsOpenIsRefusedEveryTime) {
  const TemporaryFolder folder;
  const std::string path = folder / "clip.h264";
  std::filesystem::copy_file(test::clip_path("no_times.h264"), path);
  const auto reader = test::open_file(path);
  reader->move_to(5);
  std::filesystem::resize_file(path, 0);
  for (const std::int64_t frame : {0, 8, 5, 0})
    EXPECT_TRUE(error_of([&] { reader->move_to(frame); }).starts_with("bad_file: ")) << frame;
}

}  // namespace
}  // namespace qwenvl
