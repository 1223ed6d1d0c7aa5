// How far the answers of two models are apart: the scores of the first answer token to the same
// questions. Before: `qwenvl quantize` has written the second.   After: its report.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "engine/bench/probe_pictures.h"
#include "engine/bench/probe_requests.h"
#include "engine/guard.h"
#include "qwenvl/engine.h"
#include "qwenvl/quantize.h"

namespace qwenvl {
namespace {

constexpr const char* kTexts[] = {
    "What is the capital of France?",
    "Complete: one, two, three, four,",
    "Translate to German: The train leaves at noon.",
    "Write a JSON object with the keys name and age.",
    "What is 17 + 25?",
    "请用一句话介绍北京。",
    "List three colours.",
    "The opposite of hot is",
    "Summarise: The meeting was moved from Monday to Thursday because the room was taken.",
    "Is 97 a prime number? Answer yes or no.",
    "Continue the story: The door opened slowly and",
    "def add(a, b):\n    return",
    "Which month comes after April?",
    "How many legs do two horses have?",
    "Spell the word bicycle backwards.",
    "今天星期三，后天星期几？",
};

// About synthetic pictures: slopes of colour under noise.
constexpr const char* kQuestions[] = {
    "Describe this image.",
    "What colours are in the image?",
    "Read all the text in the image.",
    "How many objects are there in the image?",
    "Locate the brightest corner, output its bbox coordinates using JSON format.",
    "图中有什么？",
    "Is the picture bright or dark?",
    "Is there a person in the image? Answer yes or no.",
};

struct Probe {
  std::string prompt;
  Request request;
  bool has_picture = false;
};

std::vector<Probe> probes() {
  std::vector<Probe> all;
  for (const char* text : kTexts) all.push_back({text, words_request(text, 1), false});
  std::uint32_t seed = 1;
  for (const char* question : kQuestions) {
    // Every picture another one, of another shape.
    const int step = static_cast<int>(seed);
    const Picture picture = synthetic_picture(140 + step % 5 * 28, 140 + step % 3 * 28, seed);
    all.push_back({question, picture_request(picture, question, 1), true});
    ++seed;
  }
  return all;
}

std::vector<double> log_probabilities(const std::vector<float>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float logit : logits) out.push_back(logit - largest - std::log(sum));
  return out;
}

PromptComparison compared(const Probe& probe, const std::vector<float>& expected,
                          const std::vector<float>& got) {
  if (expected.size() != got.size() || expected.empty()) {
    fail(ErrorKind::bad_request, "compare: vocabularies of {} and {}, expected the same",
         expected.size(), got.size());
  }
  PromptComparison result{probe.prompt, probe.has_picture, 0, false};
  const auto p = log_probabilities(expected), q = log_probabilities(got);
  for (std::size_t v = 0; v < p.size(); ++v) result.kl += std::exp(p[v]) * (p[v] - q[v]);
  const auto best = [](const std::vector<double>& v) {
    return std::max_element(v.begin(), v.end()) - v.begin();
  };
  result.is_same_token = best(p) == best(q);
  return result;
}

ModelComparison compare(const std::string& model, const std::string& other, int n_threads,
                        const std::function<void(int, int)>& on_progress) {
  const std::vector<Probe> asked = probes();
  const int total = 2 * static_cast<int>(asked.size());
  int done = 0;
  const auto ask_all = [&](const std::string& which) {
    Engine engine = Engine::open({.model = which, .n_threads = n_threads});
    std::vector<std::vector<float>> logits;
    for (const Probe& probe : asked) {
      logits.push_back(finish(engine, probe.request).first_logits);
      if (on_progress) on_progress(++done, total);
    }
    return logits;
  };
  const auto expected = ask_all(model), got = ask_all(other);
  ModelComparison result;
  int n_same = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const PromptComparison& one =
        result.prompts.emplace_back(compared(asked[i], expected[i], got[i]));
    result.mean_kl += one.kl / static_cast<double>(asked.size());
    result.largest_kl = std::max(result.largest_kl, one.kl);
    n_same += one.is_same_token;
  }
  result.top1_agreement = static_cast<double>(n_same) / static_cast<double>(asked.size());
  return result;
}

}  // namespace

ModelComparison compare_models(const std::string& model, const std::string& other, int n_threads,
                               const std::function<void(int, int)>& on_progress) {
  return guarded([&] { return compare(model, other, n_threads, on_progress); });
}

}  // namespace qwenvl
