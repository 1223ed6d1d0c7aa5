// What the maintenance commands call: looking into checkpoints and at this machine, tokenizing
// without weights, and reading coordinates out of answers. Every call throws qwenvl::Error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl {

// ---- inspect ---------------------------------------------------------------------------------

struct TensorSummary {
  std::string name;       // canonical
  std::string type;       // in memory: "bfloat16", "int8_grouped"
  std::string stored_as;  // the same, or what it is converted from: "Q4_K", "awq 4-bit g128"
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;  // in memory
  std::string file;
};

struct ModelSummary {
  std::string folder;  // or the .gguf file
  std::string architecture;
  std::vector<std::pair<std::string, std::string>>
      facts;  // "decoder layers" → "36", in reading order
  std::vector<TensorSummary> tensors;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

// Opens and checks a checkpoint completely (configuration, tokenizer, every tensor's presence and
// shape) without running it or converting its matrices. Of the options, model, projector and
// weights count.
ModelSummary inspect_model(const EngineOptions& options);
ModelSummary inspect_model(const std::string& model);

// Whether the Hugging Face cache has a place for "org/name[@revision]": it was downloaded, or that
// has begun. An incomplete download is in the cache, and opening it says what is missing.
bool is_model_in_cache(const std::string& repository_id);

struct KernelSummary {
  std::string name;  // "avx512", "avx2", "portable"
  bool is_usable = false;
  bool is_chosen = false;
  std::string reason;  // why not usable
};

struct MachineSummary {
  std::string cpu;
  int cores = 0;
  std::uint64_t memory_bytes = 0, available_bytes = 0;
  std::vector<KernelSummary> kernels;
  std::string backend;  // what "auto" means here
};

MachineSummary inspect_machine();

// ---- tokenizer -------------------------------------------------------------------------------

// The tokenizer of a model, without its weights.
class TextCodec {
 public:
  explicit TextCodec(const std::string& model);
  ~TextCodec();
  std::vector<std::int32_t> encode(const std::string& text, bool parse_special) const;
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special) const;
  std::string token_text(std::int32_t id) const;  // U+FFFD where a token holds half a character

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// ---- media -----------------------------------------------------------------------------------

// What a source's bytes (or a local file's beginning) are: an animation of several frames is a
// video. What is neither counts as a picture; reading it then says what was found.
enum class MediaKind { picture, video };
MediaKind media_kind(const Picture& source);

// ---- coordinates -----------------------------------------------------------------------------

// A box or a point found in an answer, in pixels (x right, y down).
struct Mark {
  enum class Kind { box, point } kind = Kind::box;
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // a point uses x1, y1
  std::string label;
};

// Boxes and points of an answer in any of the model's formats: JSON (fenced, truncated or with
// trailing commas) with bbox_2d / point_2d, <points x1= y1= alt=>, "x1,y1,x2,y2 label" lines,
// data-bbox attributes, and coordinates in tool calls.
std::vector<Mark> find_marks(const std::string& answer);

// The same answer with every coordinate converted from the processed to the original picture size.
// Points are scaled exactly and truncated as the reference does; reversed corners are put in order.
std::string to_original_coordinates(const std::string& answer, const PictureInfo& picture);
Mark to_original(const Mark& mark, const PictureInfo& picture);

// The picture with its file's bytes read (or fetched), so that it can be used several times without
// being read again: for standard input, and for URLs whose content may change.
Picture read_picture(const Picture& picture);

// Draws marks (in original pixels) on the picture and writes a PNG.
void draw_marks_png(const Picture& picture, const std::string& loader,
                    const std::vector<Mark>& marks, const std::string& png_path);

}  // namespace qwenvl
