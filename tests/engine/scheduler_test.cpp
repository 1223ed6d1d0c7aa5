// The scheduler by itself: how many pages a job takes, measured where the public engine is silent.
#include "engine/scheduling/scheduler.h"

#include <new>

#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

constexpr TokenId kPoison = 1001, kMemory = 1002, kForeign = 1003;

// The tiny model, but steps and pictures with certain contents fail in several ways.
class FailingModel final : public Model {
 public:
  explicit FailingModel(std::unique_ptr<Model> model) : model_(std::move(model)) {}
  const ModelInfo& info() const override { return model_->info(); }
  VisionInput prepare_image(const Image& image, const SizeWish& wish,
                            const PreprocessOptions& options) const override {
    return model_->prepare_image(image, wish, options);
  }
  FrameSchedule sample_frames(std::int64_t, double, const SamplingWish&,
                              const PreprocessOptions&) const override {
    return {};
  }
  std::vector<PairSize> clip_sizes(std::int64_t, int, int, const ClipWish&,
                                   const PreprocessOptions&) const override {
    return {};
  }
  PairSize least_pair_size(double, int, int, const ClipWish&,
                           const PreprocessOptions&) const override {
    return {};
  }
  std::vector<VisionInput> prepare_clip(std::int64_t n_frames, const FrameSource& frame,
                                        const ClipWish& wish,
                                        const PreprocessOptions& options) const override {
    return model_->prepare_clip(n_frames, frame, wish, options);
  }
  Prompt lay_out(const Conversation& conversation, const Tokenizer& tokenizer,
                 const PreprocessOptions& options) const override {
    return model_->lay_out(conversation, tokenizer, options);
  }
  void encode(Backend&, Workspace&, const VisionInput&, Tensor, const Trace*) const override {
    throw std::bad_alloc();
  }
  void forward(Backend& backend, Workspace& workspace, const Batch& batch, Tensor logits,
               const Trace* trace) const override {
    for (const TokenId id : batch.ids) {
      if (id == kPoison) fail(ErrorKind::device, "poison");
      if (id == kMemory) throw std::bad_alloc();
      if (id == kForeign) throw 7;
    }
    model_->forward(backend, workspace, batch, logits, trace);
    for (std::int64_t row = 0; row < logits.rows(); ++row) {  // nobody generates them by chance
      for (const TokenId id : {kPoison, kMemory, kForeign}) logits.row<float>(row)[id] = -1e4f;
    }
  }
  Grid image_grid(int width, int height, const SizeWish& wish,
                  const PreprocessOptions& options) const override {
    return model_->image_grid(width, height, wish, options);
  }
  Scratch encode_scratch(const Backend& backend, const Grid& grid) const override {
    return model_->encode_scratch(backend, grid);
  }
  Scratch forward_scratch(const Backend& backend, std::int64_t n_rows,
                          std::int64_t n_logit_rows) const override {
    return model_->forward_scratch(backend, n_rows, n_logit_rows);
  }
  Work encode_work(const Grid& grid) const override { return model_->encode_work(grid); }
  Work forward_work(std::int64_t n_rows, std::int64_t cache_start,
                    std::int64_t n_logit_rows) const override {
    return model_->forward_work(n_rows, cache_start, n_logit_rows);
  }

 private:
  const std::unique_ptr<Model> model_;
};

// The parts of an engine, with n_pages pages.
struct Parts {
  explicit Parts(std::int64_t n_pages)
      : checkpoint(Checkpoint::open(data_path("checkpoints/tiny"))),
        tokenizer(Tokenizer::from_folder(checkpoint.folder())),
        model(std::make_unique<FailingModel>(make_model(checkpoint, {}))),
        backend(make_backend("cpu", 1)),
        scheduler(*model, tokenizer, *backend, scheduler_options(n_pages)) {}

  SchedulerOptions scheduler_options(std::int64_t n_pages) {
    SchedulerOptions options;
    options.kv = model->info().kv;
    options.max_pages = n_pages;
    options.before_encode = [this] { ++n_before_encode; };
    options.after_encode = [this] { ++n_after_encode; };
    return options;
  }

  std::unique_ptr<Job> job(std::int64_t n_prompt, std::int64_t max_new_tokens, int n_choices,
                           int n_beams) {
    auto job = std::make_unique<Job>();
    for (std::int64_t i = 0; i < n_prompt; ++i)
      job->prompt.ids.push_back(static_cast<TokenId>(i * 7 % 1000));
    for (std::int32_t axis = 0; axis < 3; ++axis) {
      for (std::int32_t i = 0; i < n_prompt; ++i) job->prompt.positions.push_back(i);
    }
    job->prompt.next_position = static_cast<std::int32_t>(n_prompt);
    job->options.max_new_tokens = max_new_tokens;
    job->options.settings.num_return_sequences = n_choices;
    job->options.settings.num_beams = n_beams;
    job->options.settings.do_sample = n_beams == 1;
    job->options.settings.temperature = 2;
    job->stream = std::make_shared<EventQueue>();
    return job;
  }

  // The same with another id in the prompt.
  std::unique_ptr<Job> job_with(TokenId id) {
    auto out = job(20, 30, 1, 1);
    out->prompt.ids[9] = id;
    return out;
  }

  // Waits for the end; the error's text, or "".
  static std::string end_of(EventQueue& queue) {
    return error_of([&] {
      std::unique_lock lock(queue.mutex);
      queue.changed.wait(lock, [&] { return queue.is_over; });
      if (queue.error) std::rethrow_exception(queue.error);
    });
  }

  // Runs it to its end; the error's text, or "".
  std::string run(std::unique_ptr<Job> job) {
    const std::shared_ptr<EventQueue> queue = job->stream;
    const std::string refused = error_of([&] { scheduler.submit(std::move(job)); });
    return refused.empty() ? end_of(*queue) : refused;
  }

  const Checkpoint checkpoint;
  const Tokenizer tokenizer;
  const std::unique_ptr<Model> model;
  const std::unique_ptr<Backend> backend;
  int n_before_encode = 0, n_after_encode = 0;  // read when the job has ended
  Scheduler scheduler;
};

struct Shape {
  std::int64_t n_prompt, max_new_tokens;
  int n_choices, n_beams;
  std::int64_t n_pages;  // full pages of the prompt, then those of each sequence
};

class Pages : public testing::TestWithParam<Shape> {};

TEST_P(Pages, NeverExceedWhatIsReservedAndComeBack) {
  const Shape& s = GetParam();
  Parts exact(s.n_pages);
  EXPECT_EQ(exact.run(exact.job(s.n_prompt, s.max_new_tokens, s.n_choices, s.n_beams)), "");
  EXPECT_LE(exact.scheduler.peak_pages(), s.n_pages);
  // Choices that go on to the end need all of it; beams may share what they have in common.
  if (s.n_beams == 1) {
    EXPECT_EQ(exact.scheduler.peak_pages(), s.n_pages);
  }
  EXPECT_EQ(exact.scheduler.pages_in_use(), 0);
}

TEST_P(Pages, OneLessIsRefused) {
  const Shape& s = GetParam();
  Parts less(s.n_pages - 1);
  EXPECT_TRUE(contains(less.run(less.job(s.n_prompt, s.max_new_tokens, s.n_choices, s.n_beams)),
                       "out_of_memory: request: its key/value cache takes up to"));
  EXPECT_EQ(less.scheduler.peak_pages(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Pages,
    testing::Values(Shape{1, 64, 1, 1, 1}, Shape{1, 65, 1, 1, 2}, Shape{64, 1, 1, 1, 1},
                    Shape{64, 2, 1, 1, 2}, Shape{64, 2, 3, 1, 4}, Shape{63, 2, 3, 1, 3},
                    Shape{100, 100, 4, 1, 1 + 4 * 3}, Shape{128, 64, 2, 1, 2 + 2},
                    Shape{30, 1, 1, 4, 4}, Shape{30, 150, 2, 4, 4 * 3},
                    Shape{64, 80, 4, 4, 1 + 4 * 2}, Shape{100, 140, 1, 7, 1 + 7 * 3}));

TEST(Pages, AreGivenBackByCancelledJobs) {
  Parts parts(40);
  auto job = parts.job(100, 400, 4, 1);
  const std::shared_ptr<EventQueue> queue = job->stream;
  parts.scheduler.submit(std::move(job));
  std::unique_lock lock(queue->mutex);
  queue->changed.wait(lock, [&] { return !queue->events.empty(); });
  queue->is_cancelled = true;
  queue->changed.wait(lock, [&] { return queue->is_over; });
  EXPECT_EQ(parts.scheduler.pages_in_use(), 0);
}

std::vector<TokenId> ids_in(EventQueue& queue) {
  std::vector<TokenId> ids;
  for (const Event& event : queue.events) {
    for (const TokenInfo& token : event.tokens) ids.push_back(token.chosen.id);
  }
  return ids;
}

TEST(FailingSteps, EndTheGuiltyJobsOnly) {
  Parts parts(40);
  auto alone = parts.job(20, 30, 1, 1);
  const std::shared_ptr<EventQueue> expected = alone->stream;
  EXPECT_EQ(parts.run(std::move(alone)), "");

  std::vector<std::shared_ptr<EventQueue>> good, bad;
  for (const TokenId id : {kPoison, kMemory, kForeign}) {
    auto healthy = parts.job(20, 30, 1, 1);
    good.push_back(healthy->stream);
    parts.scheduler.submit(std::move(healthy));
    auto failing = parts.job_with(id);
    bad.push_back(failing->stream);
    parts.scheduler.submit(std::move(failing));
  }
  EXPECT_EQ(Parts::end_of(*bad[0]), "device: poison");
  EXPECT_EQ(Parts::end_of(*bad[1]), "out_of_memory: memory: the system refused an allocation");
  EXPECT_EQ(Parts::end_of(*bad[2]), "internal: unexpected failure");
  for (const auto& queue : good) {
    EXPECT_EQ(Parts::end_of(*queue), "");
    EXPECT_EQ(ids_in(*queue), ids_in(*expected));
  }
  EXPECT_EQ(parts.scheduler.pages_in_use(), 0);
}

TEST(FailingSteps, OfBeamsEndTheStreamOnce) {
  Parts parts(40);
  auto job = parts.job(20, 30, 1, 3);
  job->prompt.ids[19] = kPoison;
  const std::shared_ptr<EventQueue> queue = job->stream;
  EXPECT_EQ(parts.run(std::move(job)), "device: poison");
  EXPECT_TRUE(queue->events.empty());
}

TEST(FailingSteps, AFailingPictureFailsItsJob) {
  Parts parts(40);
  auto job = parts.job(20, 30, 1, 1);
  job->media.emplace_back();
  job->media[0].grid = {1, 2, 2};
  job->media[0].n_tokens = 1;
  EXPECT_EQ(parts.run(std::move(job)), "out_of_memory: memory: the system refused an allocation");
  EXPECT_EQ(parts.run(parts.job(20, 30, 1, 1)), "");
}

// With memory low the tower's weights leave after each picture, and must after one that failed.
TEST(FailingSteps, AFailingPictureEndsItsTurnOfTheTower) {
  Parts parts(40);
  auto job = parts.job(20, 30, 1, 1);
  job->media.emplace_back();
  job->media[0].grid = {1, 2, 2};
  job->media[0].n_tokens = 1;
  parts.run(std::move(job));
  EXPECT_EQ(parts.n_before_encode, 1);
  EXPECT_EQ(parts.n_after_encode, 1);
}

TEST(FailingSteps, StopStringsThatAreNotTextAreRefusedAtOnce) {
  Parts parts(40);
  auto job = parts.job(20, 30, 1, 1);
  job->stop = {"\xff"};
  EXPECT_TRUE(contains(parts.run(std::move(job)), "bad_request: stop: "));
  EXPECT_EQ(parts.run(parts.job(20, 30, 1, 1)), "");
}

}  // namespace
}  // namespace qwenvl
