// What one reader sees of one request: the order of events, texts, ends, usage and timings.
#include <cmath>
#include <map>

#include "engine/tiny_engine.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

int rank_of(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::prepared: return 0;
    case Event::Kind::progress: return 1;
    case Event::Kind::text: return 2;
    case Event::Kind::finished: return 3;
  }
  return 4;
}

TEST(EventStream, BringsPreparedThenProgressThenTextThenFinished) {
  const auto events = events_of(tiny_engine().submit(ask_about({"rings.png"}, "What is this?")));
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.front().kind, Event::Kind::prepared);
  EXPECT_EQ(events.back().kind, Event::Kind::finished);
  for (std::size_t i = 1; i < events.size(); ++i) {
    EXPECT_GE(rank_of(events[i].kind), rank_of(events[i - 1].kind)) << "event " << i;
  }
}

TEST(EventStream, ReportsEveryLayerOfEveryPictureAndEveryPromptChunk) {
  EngineOptions options = tiny_options();
  options.prefill_chunk_tokens = 16;
  Engine engine = Engine::open(options);
  std::map<std::string, std::vector<std::int64_t>> done;
  std::map<std::string, std::int64_t> total;
  int n_prompt = 0;
  for (const Event& event :
       events_of(engine.submit(ask_about({"rings.png", "gray.png"}, "Compare")))) {
    if (event.kind == Event::Kind::prepared) n_prompt = event.usage.prompt_tokens;
    if (event.kind != Event::Kind::progress) continue;
    done[event.stage].push_back(event.done);
    total[event.stage] = event.total;
  }
  EXPECT_EQ(done["encode"], (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(total["encode"], 10);
  EXPECT_EQ(done["prefill"].size(), static_cast<std::size_t>((n_prompt + 15) / 16));
  EXPECT_EQ(done["prefill"].back(), n_prompt);
  EXPECT_EQ(total["prefill"], n_prompt);
}

TEST(EventStream, ConcatenatedTextEqualsTheAnswerAndTheDetokenizedIds) {
  const Request request = sampled(ask("Tell me a story", 60), 4);
  std::string text;
  std::vector<std::int32_t> ids;
  for (const Event& event : events_of(tiny_engine().submit(request))) {
    text += event.text;
    for (const TokenInfo& token : event.tokens) ids.push_back(token.chosen.id);
  }
  const Answer answer = collect(tiny_engine().submit(request));
  EXPECT_EQ(text, answer.choices[0].text);
  EXPECT_EQ(text, tiny_engine().detokenize(ids, true));
}

TEST(EventStream, NeverCutsACharacter) {
  int n_texts = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (const Event& event : events_of(tiny_engine().submit(sampled(ask("日本語", 60), seed)))) {
      EXPECT_EQ(find_invalid_utf8(event.text), std::string::npos) << event.text;
      if (!event.text.empty()) ++n_texts;
    }
  }
  EXPECT_GT(n_texts, 100);
}

TEST(EventStream, FillsUsageAndTimings) {
  const Answer answer = collect(tiny_engine().submit(ask_about({"hash.png"}, "Timed", 5)));
  EXPECT_EQ(answer.usage.completion_tokens, 5);
  EXPECT_EQ(answer.usage.picture_tokens, answer.pictures[0].n_tokens);
  EXPECT_GT(answer.usage.prompt_tokens, answer.usage.picture_tokens);
  EXPECT_GT(answer.timings.load_ms, 0);
  EXPECT_GT(answer.timings.preprocess_ms, 0);
  EXPECT_GT(answer.timings.encode_ms, 0);
  EXPECT_GT(answer.timings.prefill_ms, 0);
  EXPECT_GT(answer.timings.decode_ms, 0);
}

TEST(EventStream, NamesThePicturesWithBothSizes) {
  Request request = ask_about({"rings.png"}, "How large?", 1);
  request.messages[0].parts[0].image.options.resized_height = 90;
  request.messages[0].parts[0].image.options.resized_width = 120;
  const Answer answer = collect(tiny_engine().submit(request));
  ASSERT_EQ(answer.pictures.size(), 1u);
  const PictureInfo& picture = answer.pictures[0];
  EXPECT_TRUE(contains(picture.name, "rings.png"));
  EXPECT_GT(picture.original_width, 0);
  EXPECT_EQ(picture.processed_height, 84);
  EXPECT_EQ(picture.processed_width, 112);
  EXPECT_EQ(picture.n_tokens, 3 * 4);
}

TEST(EventStream, ReportsAFreshSeedThatGivesTheSameAnswerAgain) {
  Request request = sampled(ask("Dice", 20), 0);
  request.sampling.seed = {};
  const Answer first = collect(tiny_engine().submit(request));
  const Answer other = collect(tiny_engine().submit(request));
  request.sampling.seed = first.seed;
  const Answer again = collect(tiny_engine().submit(request));
  EXPECT_NE(first.seed, other.seed);
  EXPECT_EQ(again.seed, first.seed);
  EXPECT_EQ(ids_of(again), ids_of(first));
}

TEST(EventStream, ChoicesOfASampledRequestDifferAndAreReproducible) {
  const Request request = sampled(ask("Dice", 20), 11, 4);
  const Answer first = collect(tiny_engine().submit(request));
  const Answer again = collect(tiny_engine().submit(request));
  ASSERT_EQ(first.choices.size(), 4u);
  EXPECT_EQ(ids_of(first), ids_of(again));
  for (std::size_t i = 1; i < 4; ++i) EXPECT_NE(ids_of(first.choices[i]), ids_of(first.choices[0]));
  EXPECT_EQ(first.usage.completion_tokens, 80);
  EXPECT_EQ(ids_of(first.choices[0]),
            ids_of(collect(tiny_engine().submit(sampled(ask("Dice", 20), 11))))[0]);
}

TEST(EventStream, ReportsBeamsBestFirst) {
  const Answer answer = collect(tiny_engine().submit(with_beams(ask("Beams", 10), 4, 3)));
  ASSERT_EQ(answer.choices.size(), 3u);
  EXPECT_GE(answer.choices[0].score, answer.choices[1].score);
  EXPECT_GE(answer.choices[1].score, answer.choices[2].score);
  EXPECT_LT(answer.choices[0].score, 0);
  EXPECT_EQ(answer.usage.completion_tokens, 30);
}

TEST(EventStream, IsOverForGoodAfterItsEnd) {
  EventStream stream = tiny_engine().submit(ask("Once", 1));
  Event event;
  while (stream.next(event)) {
  }
  EXPECT_FALSE(stream.next(event));
  EXPECT_FALSE(EventStream().next(event));
}

TEST(EventStream, AssigningDropsTheOldRequest) {
  EventStream first = tiny_engine().submit(ask("First", 2000));
  EventStream second = tiny_engine().submit(ask("Second", 3));
  first = std::move(second);
  const Answer answer = collect(std::move(first));
  EXPECT_EQ(answer.usage.completion_tokens, 3);
  Event event;
  EXPECT_FALSE(second.next(event));
}

// ---- ends --------------------------------------------------------------------------------------

TEST(Ends, OneNewTokenIsLength) {
  const Answer answer = collect(tiny_engine().submit(ask("One", 1)));
  EXPECT_EQ(answer.choices[0].tokens.size(), 1u);
  EXPECT_EQ(answer.choices[0].finish_reason, FinishReason::length);
  EXPECT_EQ(answer.choices[0].matched_stop, "");
}

TEST(Ends, AnyTokenOfTheEosListStops) {
  const std::vector<std::int32_t> free =
      ids_of(collect(tiny_engine().submit(ask("Stop at", 12))))[0];
  Request request = ask("Stop at", 12);
  request.sampling.eos_token_ids = {{1050, free[4]}};
  const Choice choice = collect(tiny_engine().submit(request)).choices[0];
  const auto end = std::find(free.begin(), free.end(), free[4]) + 1;
  EXPECT_EQ(ids_of(choice), std::vector<std::int32_t>(free.begin(), end));
  EXPECT_EQ(choice.finish_reason, FinishReason::stop);
  EXPECT_EQ(choice.matched_stop, "");
}

TEST(Ends, MinNewTokensHoldsTheEosBack) {
  const std::vector<std::int32_t> free =
      ids_of(collect(tiny_engine().submit(ask("Stop at", 12))))[0];
  Request request = ask("Stop at", 12);
  request.sampling.eos_token_ids = {{free[0]}};
  request.sampling.min_new_tokens = 6;
  const Choice choice = collect(tiny_engine().submit(request)).choices[0];
  const auto ids = ids_of(choice);
  ASSERT_GE(ids.size(), 6u);
  EXPECT_EQ(std::count(ids.begin(), ids.begin() + 6, free[0]), 0);
}

// A piece of the free answer that lies across a border of two tokens.
std::string spanning_stop(const Choice& free) {
  std::string so_far;
  for (std::size_t i = 0; i + 1 < free.tokens.size(); ++i) {
    const std::string left = tiny_engine().detokenize({free.tokens[i].chosen.id}, true);
    const std::string right = tiny_engine().detokenize({free.tokens[i + 1].chosen.id}, true);
    const auto is_plain = [](const std::string& text) {
      return text.size() > 1 && std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
    };
    so_far += left;
    const std::string stop = left.substr(left.size() - (left.empty() ? 0 : 1)) + right.substr(0, 1);
    if (i > 1 && is_plain(left) && is_plain(right) &&
        (so_far + right).find(stop) == so_far.size() - 1) {
      return stop;
    }
  }
  return "";
}

TEST(Ends, AStopStringAcrossTokensIsWithheld) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Request request = sampled(ask("Across", 40), seed);
    const Choice free = collect(tiny_engine().submit(request)).choices[0];
    const std::string stop = spanning_stop(free);
    if (stop.empty()) continue;
    request.stop = {"never in any answer", stop};
    const Choice choice = collect(tiny_engine().submit(request)).choices[0];
    EXPECT_EQ(choice.text, free.text.substr(0, free.text.find(stop)));
    EXPECT_EQ(choice.matched_stop, stop);
    EXPECT_EQ(choice.finish_reason, FinishReason::stop);
    return;
  }
  FAIL() << "no answer has a border of tokens in plain text";
}

TEST(Ends, BeamsEndAtStopStringsToo) {
  const Choice free = collect(tiny_engine().submit(with_beams(ask("Beams", 16), 3))).choices[0];
  ASSERT_GE(free.text.size(), 8u);
  const std::size_t at = free.text.find_first_of("abcdefghijklmnopqrstuvwxyz ", 3);
  ASSERT_NE(at, std::string::npos);
  Request request = with_beams(ask("Beams", 16), 3, 3);
  request.stop = {free.text.substr(at, 1)};
  int n_stopped = 0;
  const Answer answer = collect(tiny_engine().submit(request));
  for (const Choice& choice : answer.choices) {
    EXPECT_EQ(choice.text.find(request.stop[0]), std::string::npos) << choice.text;
    EXPECT_EQ(choice.finish_reason == FinishReason::stop, choice.matched_stop == request.stop[0]);
    n_stopped += choice.finish_reason == FinishReason::stop;
  }
  EXPECT_GT(n_stopped, 0);
}

TEST(Ends, UnsetMaxNewTokensUsesWhatTheContextHasLeft) {
  EngineOptions options = tiny_options();
  options.max_context_tokens = 64;
  Engine engine = Engine::open(options);
  Request request = ask("Nearly full");
  request.sampling.max_new_tokens = {};
  const Answer answer = collect(engine.submit(request));
  EXPECT_EQ(answer.usage.prompt_tokens + answer.usage.completion_tokens, 64);
  EXPECT_EQ(answer.choices[0].finish_reason, FinishReason::length);
  request.sampling.min_new_tokens = 64;
  EXPECT_TRUE(contains(error_of_request(engine, request), "bad_request: min_new_tokens: found 64"));
}

// ---- scores ------------------------------------------------------------------------------------

TEST(Logprobs, AllOfTheVocabularyAddUpToOne) {
  Request request = ask("Sum", 3);
  request.n_logprobs = 1088;
  const Answer answer = collect(tiny_engine().submit(request));
  for (const TokenInfo& token : answer.choices[0].tokens) {
    ASSERT_EQ(token.top.size(), 1088u);
    double sum = 0;
    for (const TokenLogprob& one : token.top) sum += std::exp(one.logprob);
    EXPECT_NEAR(sum, 1, 1e-4);
    EXPECT_EQ(token.chosen.id, token.top[0].id);  // greedy
    EXPECT_EQ(token.chosen.logprob, token.top[0].logprob);
  }
}

TEST(Logprobs, ZeroGivesTheChosenTokenOnlyAndChangesNothing) {
  Request request = ask("Sum", 6);
  const Answer plain = collect(tiny_engine().submit(request));
  request.n_logprobs = 0;
  const Answer answer = collect(tiny_engine().submit(request));
  EXPECT_EQ(ids_of(answer), ids_of(plain));
  for (const TokenInfo& token : answer.choices[0].tokens) {
    EXPECT_TRUE(token.top.empty());
    EXPECT_LT(token.chosen.logprob, 0);
    EXPECT_EQ(token.chosen.text, tiny_engine().detokenize({token.chosen.id}, false));
  }
  EXPECT_EQ(plain.choices[0].tokens[0].chosen.logprob, 0);
}

TEST(FirstLogits, AreEqualWithBothBackEndsInFloat32) {
  std::vector<std::vector<float>> logits;
  for (const char* backend : {"reference", "cpu"}) {
    EngineOptions options = tiny_options();
    options.backend = backend;
    options.compute = ComputeType::float32;
    Engine engine = Engine::open(options);
    Request request = ask_about({"gradient.png"}, "Look", 1);
    request.want_first_logits = true;
    logits.push_back(events_of(engine.submit(request)).back().first_logits);
  }
  ASSERT_EQ(logits[0].size(), 1088u);
  ASSERT_EQ(logits[1].size(), 1088u);
  for (std::size_t i = 0; i < 1088; ++i) EXPECT_NEAR(logits[0][i], logits[1][i], 1e-4) << i;
}

}  // namespace
}  // namespace qwenvl
