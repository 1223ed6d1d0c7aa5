// A finished answer → text with converted coordinates, JSON, a picture with boxes, a file of
// scores.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl::cli {

struct AnswerOutput {
  bool is_json = false;
  bool has_logprobs = false;  // were asked for
  std::string boxes_path;     // "": none
  int picture_number = 0;     // which picture coordinates refer to, from 1; 0: the only one
  std::string coordinates = "processed";  // or "original"

  // Throws bad_request when these wishes do not fit a request with so many pictures.
  void check(std::size_t n_pictures) const;
  // False when the text must be complete before it can be shown.
  bool may_stream() const { return !is_json && coordinates == "processed"; }
  // Everything at once, on standard output.
  void print(const Answer& answer) const;
  // The picture with what the first choice marks, if --boxes was given.
  void draw(const Answer& answer, const std::vector<const Picture*>& pictures,
            const std::string& loader) const;

 private:
  std::size_t picture_index() const { return picture_number == 0 ? 0 : picture_number - 1; }
  std::string text_of(const Choice& choice, const Answer& answer) const;
};

// A safetensors file: "logits" [V] float32 and "input_ids" [T] int64.
void write_logits(const std::string& path, const std::vector<float>& logits,
                  const std::vector<std::int32_t>& input_ids);

}  // namespace qwenvl::cli
