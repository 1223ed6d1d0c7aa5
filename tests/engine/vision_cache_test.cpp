#include "engine/scheduling/vision_cache.h"

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

std::shared_ptr<const Features> features_of(std::size_t n_bytes) {
  auto features = std::make_shared<Features>();
  features->memory.resize(n_bytes);
  return features;
}

MediaKey key(std::uint64_t n) { return {n, ~n}; }

VisionInput input_of(std::uint8_t pixel, Grid grid = {1, 2, 2}) {
  VisionInput input;
  const int height = static_cast<int>(grid.h) * 14, width = static_cast<int>(grid.w) * 14;
  input.frames.push_back(
      {height, width,
       std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), pixel)});
  input.grid = grid;
  return input;
}

TEST(VisionCache, FindsWhatWasInsertedAndNothingElse) {
  VisionCache cache(100);
  const auto features = features_of(40);
  cache.insert(key(1), features);
  EXPECT_EQ(cache.find(key(1)), features);
  EXPECT_EQ(cache.find(key(2)), nullptr);
}

TEST(VisionCache, DropsTheLeastRecentlyUsedFirst) {
  VisionCache cache(100);
  for (std::uint64_t n = 1; n <= 2; ++n) cache.insert(key(n), features_of(50));
  EXPECT_NE(cache.find(key(1)), nullptr);  // now 2 is the oldest
  cache.insert(key(3), features_of(50));
  EXPECT_NE(cache.find(key(1)), nullptr);
  EXPECT_EQ(cache.find(key(2)), nullptr);
  EXPECT_NE(cache.find(key(3)), nullptr);
}

TEST(VisionCache, DropsAsManyAsALargePictureNeeds) {
  VisionCache cache(100);
  for (std::uint64_t n = 1; n <= 4; ++n) cache.insert(key(n), features_of(25));
  cache.insert(key(5), features_of(70));
  EXPECT_EQ(cache.find(key(3)), nullptr);
  EXPECT_NE(cache.find(key(4)), nullptr);
  EXPECT_NE(cache.find(key(5)), nullptr);
}

TEST(VisionCache, LeavesOutWhatIsLargerThanTheWhole) {
  VisionCache cache(100);
  cache.insert(key(1), features_of(60));
  cache.insert(key(2), features_of(101));
  EXPECT_NE(cache.find(key(1)), nullptr);
  EXPECT_EQ(cache.find(key(2)), nullptr);
}

TEST(VisionCache, OfNoBytesHoldsNothing) {
  VisionCache cache(0);
  cache.insert(key(1), features_of(1));
  EXPECT_EQ(cache.find(key(1)), nullptr);
}

TEST(VisionCache, KeepsFeaturesAliveForTheirReaders) {
  VisionCache cache(100);
  cache.insert(key(1), features_of(80));
  const auto read = cache.find(key(1));
  cache.insert(key(2), features_of(80));
  EXPECT_EQ(read->memory.size(), 80u);
}

TEST(VisionCache, KeysTellPixelsGridsAndNormalisationsApart) {
  const VisionInput input = input_of(9);
  VisionInput other = input_of(9);
  EXPECT_EQ(key_of(input, 0), key_of(other, 0));
  other.frames[0].rgb.back() ^= 1;
  EXPECT_NE(key_of(input, 0), key_of(other, 0));
  EXPECT_NE(key_of(input_of(9, {1, 2, 4}), 0), key_of(input_of(9, {1, 4, 2}), 0));
  other = input_of(9);
  other.normalisation = Normalisation::fast;
  EXPECT_NE(key_of(input, 0), key_of(other, 0));
}

TEST(VisionCache, TheSamePictureIsEncodedOnce) {
  EngineOptions options = tiny_options();
  Engine engine = Engine::open(options);
  const auto n_encode_events = [&](const Request& request) {
    int n = 0;
    for (const Event& event : events_of(engine.submit(request))) n += event.stage == "encode";
    return n;
  };
  const Answer fresh = collect(Engine::open(options).submit(ask_about({"stripes.png"}, "Hi")));
  EXPECT_EQ(n_encode_events(ask_about({"stripes.png", "stripes.png"}, "Twice")),
            5);  // one picture's layers
  EXPECT_EQ(n_encode_events(ask_about({"stripes.png"}, "Hi")), 0);
  EXPECT_EQ(ids_of(collect(engine.submit(ask_about({"stripes.png"}, "Hi")))), ids_of(fresh));
}

TEST(VisionCache, WithoutACacheAnswersAreTheSame) {
  EngineOptions options = tiny_options();
  options.vision_cache_bytes = 0;
  Engine engine = Engine::open(options);
  const Request request = ask_about({"stripes.png", "rings.png"}, "Hi");
  const auto expected = ids_of(collect(tiny_engine().submit(request)));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ids_of(collect(engine.submit(request))), expected);
}

}  // namespace
}  // namespace qwenvl
