// Requests that share the engine: the same bits in any company, room for everybody, nobody starves.
#include <atomic>
#include <thread>

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

// Different lengths, pictures, sampling, choices and beams.
std::vector<Request> mixed_requests() {
  std::string long_text;
  for (int i = 0; i < 60; ++i) long_text += "and then we went on ";
  Request penalised = ask("Penalties change the scores", 20);
  penalised.sampling.repetition_penalty = 1.3f;
  penalised.sampling.no_repeat_ngram_size = 2;
  return {ask("Hi", 20),
          ask(long_text, 9),
          ask_about({"rings.png"}, "One picture", 16),
          sampled(ask_about({"thin.png", "gradient.png"}, "Two pictures", 14), 5),
          sampled(ask("Three ways", 18), 6, 3),
          with_beams(ask_about({"gray.png"}, "Beams", 11), 3, 2),
          penalised,
          with_beams(ask("More beams", 25), 2)};
}

std::vector<std::vector<std::vector<std::int32_t>>> answers_of(
    Engine& engine, const std::vector<Request>& requests) {
  std::vector<EventStream> streams;
  for (const Request& request : requests) streams.push_back(engine.submit(request));
  std::vector<std::vector<std::vector<std::int32_t>>> answers;
  for (EventStream& stream : streams) answers.push_back(ids_of(collect(std::move(stream))));
  return answers;
}

// The answers one after the other in an engine with the default options.
const std::vector<std::vector<std::vector<std::int32_t>>>& expected_answers() {
  static const auto answers = [] {
    std::vector<std::vector<std::vector<std::int32_t>>> out;
    for (const Request& request : mixed_requests())
      out.push_back(answers_of(tiny_engine(), {request})[0]);
    return out;
  }();
  return answers;
}

struct Company {
  const char* name;
  int prefill_chunk_tokens, n_threads, max_batch_sequences;
};

class InCompany : public testing::TestWithParam<Company> {};

TEST_P(InCompany, EveryRequestGetsTheTokensItGetsAlone) {
  EngineOptions options = tiny_options();
  options.prefill_chunk_tokens = GetParam().prefill_chunk_tokens;
  options.n_threads = GetParam().n_threads;
  options.max_batch_sequences = GetParam().max_batch_sequences;
  Engine engine = Engine::open(options);
  const auto answers = answers_of(engine, mixed_requests());
  for (std::size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(answers[i], expected_answers()[i]) << "request " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Batches, InCompany,
    testing::Values(Company{"ChunksOf1", 1, 2, 64}, Company{"ChunksOf7", 7, 1, 64},
                    Company{"ChunksOf512", 512, 3, 64}, Company{"SequencesOneByOne", 512, 2, 1},
                    Company{"TwoSequences", 16, 2, 2}, Company{"FourSequences", 64, 1, 4}),
    [](const auto& info) { return info.param.name; });

TEST(Batch, FirstLogitsHaveTheSameBitsInCompany) {
  Request request = ask_about({"rings.png"}, "Bits", 2);
  request.want_first_logits = true;
  const auto alone = events_of(tiny_engine().submit(request)).back().first_logits;
  std::vector<EventStream> others;
  for (const Request& other : mixed_requests()) others.push_back(tiny_engine().submit(other));
  const auto in_company = events_of(tiny_engine().submit(request)).back().first_logits;
  ASSERT_EQ(alone.size(), 1088u);
  EXPECT_TRUE(alone == in_company);
}

TEST(Batch, DecodingGoesOnBetweenTheChunksOfALongPrompt) {
  EngineOptions options = tiny_options();
  options.max_batch_sequences = 1;  // a chunk and a decode row never fit together
  options.prefill_chunk_tokens = 1;
  Engine engine = Engine::open(options);
  EventStream decoding = engine.submit(ask("Short", 40));
  EventStream filling =
      engine.submit(ask("A prompt that takes a long time to fill, a token in each step", 1));
  EventStream filling_more =
      engine.submit(ask("And another prompt that takes a long time to fill as well", 1));
  EXPECT_EQ(collect(std::move(decoding)).usage.completion_tokens, 40);
  EXPECT_EQ(collect(std::move(filling)).usage.completion_tokens, 1);
  EXPECT_EQ(collect(std::move(filling_more)).usage.completion_tokens, 1);
}

TEST(Batch, ManyThreadsMaySubmitAtOnce) {
  EngineOptions options = tiny_options();
  options.kv_cache_bytes = 3u << 20;  // some have to wait
  Engine engine = Engine::open(options);
  const auto requests = mixed_requests();
  const auto& expected = expected_answers();
  std::atomic<int> n_wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 10; ++i) {
        const std::size_t which = (static_cast<std::size_t>(t) * 3 + i) % requests.size();
        EventStream stream = engine.submit(requests[which]);
        if (i % 5 == 4) continue;  // dropped: cancelled by its destructor
        if (ids_of(collect(std::move(stream))) != expected[which]) ++n_wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_wrong, 0);
}

// ---- memory ------------------------------------------------------------------------------------

// Room for n_pages pages of the tiny checkpoint: 3 layers · keys and values · 2 heads · 64 · 16 ·
// bf16.
EngineOptions with_pages(std::size_t n_pages) {
  EngineOptions options = tiny_options();
  options.kv_cache_bytes = n_pages * 3 * 2 * 2 * 64 * 16 * 2;
  return options;
}

TEST(Memory, ARequestThatCanNeverFitIsRefusedWithItsNeeds) {
  Engine engine = Engine::open(with_pages(2));
  const std::string error = error_of_request(engine, ask("Too long", 200));
  EXPECT_TRUE(contains(error, "out_of_memory: request: its key/value cache takes up to 0.09 MB"));
  EXPECT_TRUE(contains(error, "200 new, 1 sequences), expected at most 0.05 MB"));
  EXPECT_TRUE(contains(error, "kv_cache_bytes"));
  EXPECT_EQ(error_of_request(engine, ask("Short", 40)), "");
}

TEST(Memory, RequestsThatFitOnlyOneAfterTheOtherAllComplete) {
  Engine engine = Engine::open(with_pages(2));
  std::vector<EventStream> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(engine.submit(ask("Two pages", 80)));
  for (EventStream& stream : streams)
    EXPECT_EQ(collect(std::move(stream)).usage.completion_tokens, 80);
}

TEST(Memory, PagesComeBackAfterAnswersErrorsAndCancellations) {
  Engine engine = Engine::open(with_pages(4));
  for (int i = 0; i < 200; ++i) {
    Request request = ask("Short", 3);
    if (i % 3 == 1) request = sampled(ask("Short", 60), 1, 2);
    EventStream stream = engine.submit(request);
    if (i % 3 == 1) stream.cancel();
    if (i % 3 == 2) request.stop = {""};
    if (i % 3 == 2) {
      EXPECT_NE(error_of_request(engine, request), "");
    }
    collect(std::move(stream));
  }
  EXPECT_EQ(collect(engine.submit(ask("All pages", 200))).usage.completion_tokens, 200);
}

// ---- cancelling --------------------------------------------------------------------------------

TEST(Cancel, BeforeTheStartEndsEveryChoice) {
  Engine engine = Engine::open(with_pages(40));
  EventStream running = engine.submit(ask("Takes all", 2500));
  for (Request request : {sampled(ask("Waits", 60), 1, 2), with_beams(ask("Waits", 60), 2, 2)}) {
    EventStream waiting = engine.submit(request);
    waiting.cancel();
    const Answer answer = collect(std::move(waiting));
    ASSERT_EQ(answer.choices.size(), 2u);
    for (const Choice& choice : answer.choices)
      EXPECT_EQ(choice.finish_reason, FinishReason::cancelled);
    EXPECT_GT(answer.usage.prompt_tokens, 0);
    EXPECT_EQ(answer.usage.completion_tokens, 0);
  }
}

TEST(Cancel, WhileAPictureIsEncoded) {
  Request request = ask_about({"rings.png"}, "Large", 1000);
  request.messages[0].parts[0].image.options.resized_height = 700;
  request.messages[0].parts[0].image.options.resized_width = 700;
  EventStream stream = tiny_engine().submit(request);
  Event event;
  while (stream.next(event) && event.stage != "encode") {
  }
  stream.cancel();
  const Answer answer = collect(std::move(stream));
  ASSERT_EQ(answer.choices.size(), 1u);
  EXPECT_EQ(answer.choices[0].finish_reason, FinishReason::cancelled);
  EXPECT_LT(answer.usage.completion_tokens, 1000);
}

TEST(Cancel, WhileDecodingKeepsTheTextSoFar) {
  EventStream stream = tiny_engine().submit(sampled(ask("Long", 3000), 3, 2));
  Event event;
  while (stream.next(event) && event.kind != Event::Kind::text) {
  }
  stream.cancel();
  const Answer answer = collect(std::move(stream));
  ASSERT_EQ(answer.choices.size(), 2u);
  for (const Choice& choice : answer.choices)
    EXPECT_EQ(choice.finish_reason, FinishReason::cancelled);
  EXPECT_GT(answer.usage.completion_tokens, 0);
  EXPECT_LT(answer.usage.completion_tokens, 6000);
}

TEST(Cancel, AfterTheEndChangesNothing) {
  EventStream stream = tiny_engine().submit(ask("Short", 2));
  Event event;
  while (stream.next(event)) {
  }
  EXPECT_EQ(event.finish_reason, FinishReason::length);
  stream.cancel();
  EXPECT_FALSE(stream.next(event));
}

TEST(Cancel, DestroyingTheEngineEndsAllStreams) {
  std::vector<EventStream> streams;
  {
    Engine engine = Engine::open(with_pages(70));
    for (const Request& request : mixed_requests()) streams.push_back(engine.submit(request));
    for (int i = 0; i < 3; ++i) streams.push_back(engine.submit(ask("Never ends", 3500)));
  }
  int n_cancelled = 0;
  for (EventStream& stream : streams) {
    const Answer answer = collect(std::move(stream));
    ASSERT_FALSE(answer.choices.empty());
    for (const Choice& choice : answer.choices) {
      EXPECT_NE(choice.finish_reason, FinishReason::none);
      n_cancelled += choice.finish_reason == FinishReason::cancelled;
    }
  }
  EXPECT_GT(n_cancelled, 0);
}

TEST(Cancel, AReaderThatNeverReadsHarmsNobody) {
  EventStream unread = tiny_engine().submit(ask("Unread", 500));
  EXPECT_EQ(collect(tiny_engine().submit(ask("Read", 5))).usage.completion_tokens, 5);
  EXPECT_EQ(collect(std::move(unread)).usage.completion_tokens, 500);
}

}  // namespace
}  // namespace qwenvl
