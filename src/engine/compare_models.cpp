// How far the answers of two models are apart: the scores of the first answer token to the same
// questions. Before: `qwenvl quantize` has written the second.   After: its report.
#include <algorithm>
#include <cmath>
#include <random>

#include "core/check.h"
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

constexpr const char* kQuestions[] = {
    "Describe this image.",
    "What colour is the square?",
    "Read all the text in the image.",
    "How many shapes are there in the image?",
    "Locate the square, output its bbox coordinates using JSON format.",
    "图中有什么？",
    "Is the picture bright or dark?",
    "Is there a person in the image? Answer yes or no.",
};

void append(std::vector<std::byte>& bytes, std::uint32_t value, int n) {
  for (int i = 0; i < n; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i) & 255));
}

// A slope of two colours with a square and some noise, as the bytes of a BMP file.
std::vector<std::byte> drawn_picture(std::uint32_t seed) {
  std::mt19937 random(seed);
  const std::uint32_t width = 140 + random() % 5 * 28, height = 140 + random() % 5 * 28;
  const std::uint32_t row_bytes = (3 * width + 3) / 4 * 4;
  std::vector<std::byte> bytes = {std::byte{'B'}, std::byte{'M'}};
  append(bytes, 54 + row_bytes * height, 4);
  append(bytes, 0, 4);
  append(bytes, 54, 4);
  append(bytes, 40, 4);
  append(bytes, width, 4);
  append(bytes, height, 4);
  append(bytes, 1, 2);
  append(bytes, 24, 2);
  for (int i = 0; i < 6; ++i) append(bytes, 0, 4);
  std::uint32_t from[3], to[3], ink[3];
  for (auto* colour : {from, to, ink}) {
    for (int i = 0; i < 3; ++i) colour[i] = random() % 240;
  }
  const std::uint32_t left = width / 4 + random() % (width / 4), side = 28 + random() % 40;
  for (std::uint32_t y = 0; y < height; ++y) {
    for (std::uint32_t x = 0; x < width; ++x) {
      const bool is_inside = x >= left && x < left + side && y >= left && y < left + side;
      for (int i = 0; i < 3; ++i) {
        const std::uint32_t slope = (from[i] * (width - x) + to[i] * x) / width;
        append(bytes, (is_inside ? ink[i] : slope) + random() % 16, 1);
      }
    }
    append(bytes, 0, static_cast<int>(row_bytes - 3 * width));
  }
  return bytes;
}

std::vector<Request> requests() {
  std::vector<Request> all;
  for (const char* text : kTexts) all.push_back({.messages = {{"user", {Part::words(text)}}}});
  std::uint32_t seed = 1;
  for (const char* question : kQuestions) {
    Part picture = Part::picture("drawn.bmp");
    picture.image.bytes = drawn_picture(seed++);
    all.push_back({.messages = {{"user", {picture, Part::words(question)}}}});
  }
  for (Request& request : all) {
    request.sampling.do_sample = false;
    request.sampling.num_beams = 1;
    request.sampling.num_return_sequences = 1;
    request.sampling.min_new_tokens = 0;
    request.sampling.max_new_tokens = 1;
    request.want_first_logits = true;
  }
  return all;
}

std::vector<float> first_logits(Engine& engine, const Request& request) {
  std::vector<float> logits;
  EventStream stream = engine.submit(request);
  for (Event event; stream.next(event);) {
    if (!event.first_logits.empty()) logits = std::move(event.first_logits);
  }
  return logits;
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

ModelComparison compare(const std::string& model, const std::string& other, int n_threads,
                        const std::function<void(int, int)>& on_progress) {
  const std::vector<Request> asked = requests();
  const int total = 2 * static_cast<int>(asked.size());
  int done = 0;
  const auto ask_all = [&](const std::string& which) {
    Engine engine = Engine::open({.model = which, .n_threads = n_threads});
    std::vector<std::vector<float>> logits;
    for (const Request& request : asked) {
      logits.push_back(first_logits(engine, request));
      if (on_progress) on_progress(++done, total);
    }
    return logits;
  };
  const auto expected = ask_all(model), got = ask_all(other);
  ModelComparison result;
  result.n_prompts = static_cast<int>(asked.size());
  int n_same = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (expected[i].size() != got[i].size() || expected[i].empty()) {
      fail(ErrorKind::bad_request, "compare: vocabularies of {} and {}, expected the same",
           expected[i].size(), got[i].size());
    }
    const auto p = log_probabilities(expected[i]), q = log_probabilities(got[i]);
    double kl = 0;
    for (std::size_t v = 0; v < p.size(); ++v) kl += std::exp(p[v]) * (p[v] - q[v]);
    result.mean_kl += kl / result.n_prompts;
    result.largest_kl = std::max(result.largest_kl, kl);
    const auto best = [](const std::vector<double>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    n_same += best(p) == best(q);
  }
  result.top1_agreement = static_cast<double>(n_same) / result.n_prompts;
  return result;
}

}  // namespace

ModelComparison compare_models(const std::string& model, const std::string& other, int n_threads,
                               const std::function<void(int, int)>& on_progress) {
  return guarded([&] { return compare(model, other, n_threads, on_progress); });
}

}  // namespace qwenvl
