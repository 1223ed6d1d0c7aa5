// The scheduler by itself: how many pages a job takes, measured where the public engine is silent.
#include "engine/scheduler.h"

#include "checkpoint/checkpoint.h"
#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

// The parts of an engine, with n_pages pages.
struct Parts {
  explicit Parts(std::int64_t n_pages)
      : checkpoint(Checkpoint::open(data_path("checkpoints/tiny"))),
        tokenizer(Tokenizer::from_folder(checkpoint.folder())),
        model(make_model(checkpoint, {})),
        backend(make_backend("cpu", 1)),
        scheduler(*model, tokenizer, *backend, {n_pages, 64, 512, 0}) {}

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

  // Runs it to its end; the error's text, or "".
  std::string run(std::unique_ptr<Job> job) {
    const std::shared_ptr<EventQueue> queue = job->stream;
    return error_of([&] {
      scheduler.submit(std::move(job));
      std::unique_lock lock(queue->mutex);
      queue->changed.wait(lock, [&] { return queue->is_over; });
      if (queue->error) std::rethrow_exception(queue->error);
    });
  }

  const Checkpoint checkpoint;
  const Tokenizer tokenizer;
  const std::unique_ptr<Model> model;
  const std::unique_ptr<Backend> backend;
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

}  // namespace
}  // namespace qwenvl
