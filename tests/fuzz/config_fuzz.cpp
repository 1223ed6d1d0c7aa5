// Any bytes as config.json, preprocessor_config.json and generation_config.json: sizes within their
// bounds, or one Error that names the file.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/generation/generation_settings.h"
#include "fuzz/outcome.h"
#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/language.h"

namespace {

using qwenvl::fuzz::expect_error_or_success;
using qwenvl::fuzz::require;

// What the rest of the program relies on without looking again.
void check_config(const std::string& text) {
  const auto c = qwenvl::qwen2_5_vl::parse_config(text, "input");
  require(c.text.n_heads % c.text.n_kv_heads == 0);
  require(c.text.head_dim % 2 == 0 && c.text.head_dim <= 256);
  require(c.text.mrope_section[0] + c.text.mrope_section[1] + c.text.mrope_section[2] ==
          c.text.head_dim / 2);
  require(c.vision.hidden_size % c.vision.n_heads == 0 && c.vision.head_dim() % 4 == 0);
  require(c.vision.window_size >= c.vision.grid_pixels());
  require(c.image_token_id >= 0 && c.image_token_id < c.text.vocab_size);
  for (const float frequency : qwenvl::qwen2_5_vl::rope_frequencies(c.text).inverse) {
    require(std::isfinite(frequency) && frequency >= 0 && frequency <= 1);
  }
}

void check_preprocessor(const std::string& text) {
  const auto p = qwenvl::qwen2_5_vl::parse_preprocessor_config(text, "input", {});
  require(p.min_pixels >= 1 && p.min_pixels <= p.max_pixels);
  for (const double deviation : p.image_std) require(deviation > 0);
  const auto video = qwenvl::qwen2_5_vl::parse_preprocessor_config(
      text, "input", {}, qwenvl::qwen2_5_vl::PreprocessorKind::video);
  require(video.min_pixels >= 1 && video.max_pixels >= 1);
}

// Settings of a file, alone and under wishes taken from the input's own bytes.
void check_generation(const std::string& text) {
  const auto defaults = qwenvl::parse_generation_config(text, "input");
  require(defaults.top_k >= 0 && defaults.num_beams >= 1);
  qwenvl::Sampling wishes;
  if (text.size() >= 16) {
    float number = 0;
    std::int32_t count = 0;
    std::memcpy(&number, text.data() + 4, sizeof number);
    std::memcpy(&count, text.data() + 8, sizeof count);
    if (text[0] & 1) wishes.temperature = number;
    if (text[0] & 2) wishes.top_p = number;
    if (text[0] & 4) wishes.top_k = count;
    if (text[0] & 8) wishes.num_beams = count;
    if (text[0] & 16) wishes.repetition_penalty = number;
    if (text[0] & 32) wishes.max_new_tokens = count;
  }
  const auto settings = merged(defaults, wishes);
  require(settings.temperature > 0 && settings.top_p > 0 && settings.top_p <= 1);
  require(settings.num_beams == 1 || !settings.do_sample);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  expect_error_or_success([&] { check_config(text); });
  expect_error_or_success([&] { check_preprocessor(text); });
  // Wishes are a request's.
  expect_error_or_success([&] { check_generation(text); },
                          {qwenvl::ErrorKind::bad_file, qwenvl::ErrorKind::bad_request,
                           qwenvl::ErrorKind::unsupported});
  return 0;
}
