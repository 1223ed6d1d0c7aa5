// Tensors of two GGUF files as the published checkpoint has them: renamed, and pieces joined.
// Before: gguf.cpp parsed the files.   After: open.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "checkpoint/gguf/names.h"
#include "checkpoint/gguf/open.h"
#include "core/check.h"

namespace qwenvl {
namespace {

using Piece = VisionName::Piece;
using Part = std::unique_ptr<const StoredTensor>;

// Rows of blocks, one after the other.
class BlockTensor : public StoredTensor {
 public:
  BlockTensor(const GgufTensor& tensor, const std::string& file)
      : StoredTensor(tensor.shape, tensor.type->name, file), tensor_(tensor) {}
  // The types for whole numbers have no decoder and come no further than to their refusal.
  bool is_quantised() const override { return tensor_.type->n_values > 1; }

 private:
  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    const std::int64_t blocks_per_row = row_width() / tensor_.type->n_values;
    tensor_.type->decode(tensor_.bytes.data() + first * blocks_per_row * tensor_.type->n_bytes,
                         n * blocks_per_row, out);
  }

  GgufTensor tensor_;
};

// "Q8_0", or "Q8_0 + F16" when the parts differ.
std::string format_of(const std::vector<Part>& parts) {
  std::string format = parts[0]->format();
  for (const Part& part : parts) {
    if (part->format() != parts[0]->format()) format += " + " + part->format();
  }
  return format;
}

Shape with_first(const Shape& shape, std::int64_t first) {
  return shape.rank() == 1 ? Shape{first} : Shape{first, shape[1]};
}

bool is_any_quantised(const std::vector<Part>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const Part& part) { return part->is_quantised(); });
}

// Query, key and value one below the other, as matrices or as vectors.
class StackedTensor : public StoredTensor {
 public:
  explicit StackedTensor(std::vector<Part> parts)
      : StoredTensor(with_first(parts[0]->shape(), height_of(parts)), format_of(parts),
                     parts[0]->file()),
        parts_(std::move(parts)) {}
  bool is_quantised() const override { return is_any_quantised(parts_); }

 private:
  static std::int64_t height_of(const std::vector<Part>& parts) {
    std::int64_t height = 0;
    for (const Part& part : parts) height += part->shape()[0];
    return height;
  }

  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    if (shape().rank() == 1) {
      for (const Part& part : parts_) {
        part->read_rows(0, 1, out);
        out += part->row_width();
      }
      return;
    }
    std::int64_t part_begin = 0;
    for (const Part& part : parts_) {
      const std::int64_t begin = std::max(first, part_begin);
      const std::int64_t end = std::min(first + n, part_begin + part->n_rows());
      if (begin < end) {
        part->read_rows(begin - part_begin, end - begin, out + (begin - first) * row_width());
      }
      part_begin += part->n_rows();
    }
  }

  std::vector<Part> parts_;
};

// The patch embedding [out, colour, frame, y, x] from one [out, colour, y, x] per frame.
class FramesTensor : public StoredTensor {
 public:
  explicit FramesTensor(std::vector<Part> parts)
      : StoredTensor(shape_of(parts[0]->shape(), parts.size()), format_of(parts), parts[0]->file()),
        parts_(std::move(parts)) {}
  bool is_quantised() const override { return is_any_quantised(parts_); }

 private:
  static Shape shape_of(const Shape& one, std::size_t n_frames) {
    return {one[0], one[1], static_cast<std::int64_t>(n_frames), one[2], one[3]};
  }

  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    const std::int64_t plane = shape()[3] * shape()[4], n_frames = shape()[2];
    std::vector<float> row(static_cast<std::size_t>(parts_[0]->row_width()));
    for (std::int64_t frame = 0; frame < n_frames; ++frame) {
      for (std::int64_t i = 0; i < n; ++i) {
        parts_[frame]->read_rows(first + i, 1, row.data());
        for (std::int64_t colour = 0; colour < shape()[1]; ++colour) {
          std::copy_n(row.data() + colour * plane, plane,
                      out + i * row_width() + (colour * n_frames + frame) * plane);
        }
      }
    }
  }

  std::vector<Part> parts_;
};

Part readable(const std::string& name, const GgufTensor& tensor, const std::string& where,
              const std::string& file) {
  if (!tensor.type->decode) {
    fail(
        ErrorKind::unsupported,
        "{}: tensor {} is stored as {}, which qwenvl does not read; expected F32, F16, BF16, Q4_0, "
        "Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K or Q8_K",
        where, quoted(name), tensor.type->name);
  }
  return std::make_unique<BlockTensor>(tensor, file);
}

[[noreturn]] void refuse_name(const std::string& name, const std::string& where, const char* what) {
  fail(ErrorKind::bad_file, "{}: tensor {} belongs to no {} of Qwen2.5-VL", where, quoted(name),
       what);
}

// Old converters exchanged the names of the two matrices; only their shapes tell.
std::string mended(const std::string& name, const GgufFile& vision) {
  const std::size_t at = std::min(name.find(".ffn_up."), name.find(".ffn_down."));
  if (at == name.npos) return name;
  const auto down = vision.tensors.find(name.substr(0, at) + ".ffn_down.weight");
  if (down == vision.tensors.end() || down->second.shape.rank() != 2) return name;
  const Shape& shape = down->second.shape;
  const auto width =
      vision.metadata.integer("clip.vision.embedding_length", 1, INT32_MAX).value_or(0);
  if (shape[1] != width || shape[0] == width) return name;  // [width, inner] is as it should be
  const bool is_up = name.compare(at, 8, ".ffn_up.") == 0;
  return name.substr(0, at) + (is_up ? ".ffn_down." : ".ffn_up.") +
         name.substr(at + (is_up ? 8 : 10));
}

// Pieces of one published tensor, by their place in it.
using Pieces = std::map<Piece, Part>;

Part joined(const std::string& name, Pieces pieces, const std::string& where) {
  const bool is_frames = pieces.begin()->first >= Piece::first_frame;
  const std::size_t expected = is_frames ? 2 : 3;
  if (pieces.size() != expected) {
    fail(ErrorKind::bad_file, "{}: {} of {} is there in {} pieces, expected {}", where,
         is_frames ? "v.patch_embd.weight" : "attn_q, attn_k, attn_v", quoted(name), pieces.size(),
         expected);
  }
  const Shape first = pieces.begin()->second->shape();
  std::vector<Part> parts;
  for (auto& [piece, part] : pieces) {
    const Shape& shape = part->shape();
    const bool fits = is_frames ? shape.rank() == 4 && shape == first
                                : shape.rank() == first.rank() && shape.rank() <= 2 &&
                                      (shape.rank() == 1 || shape[1] == first[1]);
    if (!fits) {
      fail(ErrorKind::bad_file, "{}: the pieces of {} are {} and {}, which do not go together",
           where, quoted(name), first.str(), shape.str());
    }
    parts.push_back(std::move(part));
  }
  if (is_frames) return std::make_unique<FramesTensor>(std::move(parts));
  return std::make_unique<StackedTensor>(std::move(parts));
}

void add_vision(const GgufFile& vision, const std::string& file, WeightSource::Tensors& tensors) {
  const std::string& where = vision.metadata.where();
  std::map<std::string, Pieces> pieces;
  for (const auto& [stored, tensor] : vision.tensors) {
    const auto name = name_from_vision_gguf(mended(stored, vision));
    if (!name) refuse_name(stored, where, "vision tower");
    Part part = readable(stored, tensor, where, file);
    if (name->piece == Piece::whole) {
      tensors.emplace(name->name, std::move(part));
    } else {
      pieces[name->name].emplace(name->piece, std::move(part));
    }
  }
  for (auto& [name, found] : pieces) {
    if (!tensors.emplace(name, joined(name, std::move(found), where)).second) {
      fail(ErrorKind::bad_file, "{}: {} is there whole and in pieces", where, quoted(name));
    }
  }
}

}  // namespace

WeightSource::Tensors tensors_from_gguf(const GgufFile& language, const std::string& language_file,
                                        const GgufFile& vision, const std::string& vision_file) {
  const std::string& where = language.metadata.where();
  WeightSource::Tensors tensors;
  for (const auto& [stored, tensor] : language.tensors) {
    const std::string name = name_from_language_gguf(stored);
    if (name.empty()) refuse_name(stored, where, "language model");
    tensors.emplace(name, readable(stored, tensor, where, language_file));
  }
  add_vision(vision, vision_file, tensors);
  return tensors;
}

}  // namespace qwenvl
