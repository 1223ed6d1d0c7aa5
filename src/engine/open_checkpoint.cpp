// Folders that can be used where they are mapped are, or are copied into large pages; everything
// else is converted in memory.
#include "engine/open_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "checkpoint/foreign/scheme.h"
#include "checkpoint/gguf/open.h"
#include "core/check.h"
#include "core/numbers.h"
#include "core/thread_pool.h"
#include "engine/engine_options.h"
#include "models/model.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;
using Method = QuantizationScheme::Method;

constexpr const char* kAutomatic = "auto";
constexpr std::int64_t kSliceNumbers = 1 << 24;  // converted before the source's pages go

// ---- what becomes what -------------------------------------------------------------------------

// Whether every matrix already is what `weights` asks for.
bool is_stored_as(const Checkpoint& checkpoint, const std::string& weights) {
  if (weights == kAutomatic) return true;
  const auto& tensors = checkpoint.tensors();
  return preset_named(weights).decoder == Packing::none &&
         std::all_of(tensors.begin(), tensors.end(), [](const auto& named) {
           return named.second.shape.rank() < 2 || named.second.type == DType::bf16;
         });
}

// The published folder or one that qwenvl wrote, when nothing else is asked for.
std::optional<Checkpoint> open_in_place(const fs::path& path, const EngineOptions& options) {
  if (is_gguf_model(path) || !options.projector.empty()) return {};
  Checkpoint checkpoint = Checkpoint::open(path);
  if (checkpoint.has_packed_tensors()) {
    if (options.weights == kAutomatic) return checkpoint;
    fail(ErrorKind::bad_request,
         "weights: found {}, but {} is quantised already, expected {}; name the original instead",
         quoted(options.weights), path.string(), kAutomatic);
  }
  if (!is_stored_as(checkpoint, options.weights)) return {};
  const std::string config = checkpoint.text_of("config.json");
  const QuantizationScheme scheme =
      parse_quantization(config, checkpoint.text_of("quantize_config.json"), path.string());
  if (scheme.method != Method::none) return {};
  return checkpoint;
}

// Rounding to 8 bits what had fewer costs a tenth of what that did, and products of bytes are the
// fastest there are. What kept 16 bits keeps them.
std::vector<PlannedTensor> plan_for(const WeightSource& source, const std::string& weights) {
  if (weights != kAutomatic) return plan_tensors(source, preset_named(weights, "weights"));
  std::vector<PlannedTensor> tensors = plan_tensors(source, preset_named("int8"));
  for (PlannedTensor& tensor : tensors) {
    if (!tensor.stored->is_quantised()) tensor.packing = Packing::none;
  }
  return tensors;
}

Checkpoint::Declared declared(const PlannedTensor& tensor) {
  const StoredTensor& stored = *tensor.stored;
  if (tensor.packing == Packing::none) {
    return {tensor.name, tensor.plain_type, stored.shape(), stored.file(), {}};
  }
  return {tensor.name,
          DType::u8,
          {static_cast<std::int64_t>(tensor.bytes())},
          stored.file(),
          PackedTensor{name_of(tensor.packing), stored.shape()}};
}

// What a file without a folder says in its metadata. Folders are asked when a text is needed.
std::map<std::string, std::string> texts_of(const WeightSource& source) {
  std::map<std::string, std::string> texts;
  if (!is_gguf_model(source.path())) return texts;
  for (const char* name : {"config.json", "generation_config.json", "preprocessor_config.json",
                           "processor_config.json", "video_preprocessor_config.json"}) {
    texts[name] = source.text_of(name);
  }
  return texts;
}

// ---- conversion --------------------------------------------------------------------------------

void round_to(DType type, std::span<const float> numbers, std::byte* out) {
  if (type == DType::bf16) {
    std::transform(numbers.begin(), numbers.end(), reinterpret_cast<bf16*>(out), to_bf16);
  } else {
    std::memcpy(out, numbers.data(), numbers.size_bytes());
  }
}

bool is_small(const PlannedTensor& tensor) { return tensor.stored->shape().rank() < 2; }

void convert_small(const PlannedTensor& tensor, Checkpoint& checkpoint) {
  std::vector<float> numbers(static_cast<std::size_t>(tensor.stored->row_width()));
  tensor.stored->read_rows(0, 1, numbers.data());
  round_to(tensor.plain_type, numbers, checkpoint.writable(tensor.name).data());
}

// Panels of packed matrices and as many rows of plain ones: a thread needs memory for one panel of
// numbers.
void convert_panels(const PlannedTensor& tensor, std::int64_t first, std::int64_t n,
                    ThreadPool& pool, std::byte* out) {
  const std::int64_t n_out = tensor.stored->n_rows(), n_in = tensor.stored->row_width();
  const bool is_packed = tensor.packing != Packing::none;
  const std::int64_t bytes =
      is_packed ? panel_bytes(tensor.packing, n_in)
                : kPanelRows * n_in * static_cast<std::int64_t>(size_of(tensor.plain_type));
  std::vector<std::vector<float>> rows(static_cast<std::size_t>(pool.n_threads()));
  pool.parallel_for(n, [&](std::int64_t i, int thread) {
    const std::int64_t row = (first + i) * kPanelRows, n_rows = std::min(kPanelRows, n_out - row);
    std::vector<float>& numbers = rows[static_cast<std::size_t>(thread)];
    numbers.resize(static_cast<std::size_t>(n_rows * n_in));
    read_finite_rows(tensor, row, n_rows, numbers.data());
    if (is_packed) {
      pack_panel(tensor.packing, numbers.data(), n_rows, n_in, {}, out + (first + i) * bytes);
    } else {
      round_to(tensor.plain_type, numbers, out + (first + i) * bytes);
    }
  });
}

// Slice by slice, so that a vocabulary's source does not lie in memory beside what becomes of it.
void convert_large(const PlannedTensor& tensor, const WeightSource& source, ThreadPool& pool,
                   Checkpoint& checkpoint) {
  const std::int64_t n = n_panels(tensor.stored->n_rows());
  const std::int64_t at_once =
      std::max<std::int64_t>(1, kSliceNumbers / (kPanelRows * tensor.stored->row_width()));
  std::byte* const out = checkpoint.writable(tensor.name).data();
  for (std::int64_t first = 0; first < n; first += at_once) {
    convert_panels(tensor, first, std::min(at_once, n - first), pool, out);
    source.release_pages(tensor.name);
  }
}

// ---- copies ------------------------------------------------------------------------------------

bool is_small(const Checkpoint& checkpoint, const std::string& name, const TensorEntry& tensor) {
  return tensor.shape.rank() < 2 && !checkpoint.packed(name);
}

// The same tensors in memory of this process; the small ones, which models read when they are
// bound, already there.
CheckedModel to_be_copied(Checkpoint mapped) {
  std::vector<Checkpoint::Declared> tensors;
  for (const auto& [name, entry] : mapped.tensors()) {
    const PackedTensor* packed = mapped.packed(name);
    tensors.push_back({name, entry.type, entry.shape, mapped.file_of(name),
                       packed ? std::optional(*packed) : std::nullopt});
  }
  CheckedModel model{Checkpoint::in_memory(mapped.folder(), {}, tensors), nullptr, {}, {}};
  for (const auto& [name, entry] : mapped.tensors()) {
    if (is_small(mapped, name, entry)) {
      std::ranges::copy(entry.bytes, model.checkpoint.writable(name).begin());
    }
  }
  make_model(model.checkpoint, std::nullopt);  // before the long part, as above
  model.mapped = std::move(mapped);
  return model;
}

void copy_large(CheckedModel& model, ThreadPool& pool, const LoadProgress& progress) {
  constexpr std::size_t kPiece = 1 << 20;
  std::uint64_t done = 0, total = 0;
  for (const auto& [name, entry] : model.mapped->tensors()) {
    if (!is_small(*model.mapped, name, entry)) total += entry.bytes.size();
  }
  for (const auto& [name, entry] : model.mapped->tensors()) {
    if (is_small(*model.mapped, name, entry)) continue;
    if (progress) progress(done, total, name);
    const std::span<const std::byte> from = entry.bytes;
    std::byte* const to = model.checkpoint.writable(name).data();
    pool.parallel_for(
        static_cast<std::int64_t>((from.size() + kPiece - 1) / kPiece), [&](std::int64_t i, int) {
          const std::size_t first = static_cast<std::size_t>(i) * kPiece;
          std::memcpy(to + first, from.data() + first, std::min(kPiece, from.size() - first));
        });
    model.mapped->release_pages(name);
    done += from.size();
  }
  if (progress) progress(total, total, "");
}

}  // namespace

CheckedModel check_model(const EngineOptions& options) {
  if (options.weights != kAutomatic) preset_named(options.weights, "weights");
  const fs::path path = resolve_model(options.model);
  if (std::optional<Checkpoint> in_place = open_in_place(path, options)) {
    if (options.memory == MemoryMode::copied) return to_be_copied(std::move(*in_place));
    return {std::move(*in_place), nullptr, {}, {}};
  }
  std::unique_ptr<const WeightSource> source = open_weight_source(path, options.projector);
  std::vector<PlannedTensor> planned = plan_for(*source, options.weights);
  std::vector<Checkpoint::Declared> tensors;
  std::transform(planned.begin(), planned.end(), std::back_inserter(tensors), declared);
  Checkpoint checkpoint = Checkpoint::in_memory(source->path(), texts_of(*source), tensors);
  for (const PlannedTensor& tensor : planned) {
    if (is_small(tensor)) convert_small(tensor, checkpoint);
  }
  make_model(checkpoint, std::nullopt);  // complete, and of shapes that fit: before the long part
  return {std::move(checkpoint), std::move(source), std::move(planned), {}};
}

void convert(CheckedModel& model, const EngineOptions& options) {
  if (!model.source && !model.mapped) return;
  const std::size_t bytes = model.checkpoint.total_bytes();
  if (options.max_memory_bytes != 0 && bytes > options.max_memory_bytes) {
    fail(ErrorKind::out_of_memory,
         "max_memory_bytes: the {} weights take {} bytes, expected at most {}: {}, or raise the "
         "limit",
         model.mapped ? "copied" : "converted", bytes, options.max_memory_bytes,
         model.mapped ? "use them where they are mapped (memory normal or low)"
                      : "convert to fewer bits (weights)");
  }
  ThreadPool pool(thread_count(options.n_threads));
  if (model.mapped) {
    copy_large(model, pool, options.on_load);
    model.mapped.reset();
    return;
  }
  std::uint64_t done = 0, total = 0;
  for (const PlannedTensor& tensor : model.planned) {
    if (!is_small(tensor)) total += static_cast<std::uint64_t>(tensor.stored->shape().count());
  }
  for (const PlannedTensor& tensor : model.planned) {
    if (is_small(tensor)) continue;
    if (options.on_load) options.on_load(done, total, tensor.name);
    convert_large(tensor, *model.source, pool, model.checkpoint);
    done += static_cast<std::uint64_t>(tensor.stored->shape().count());
  }
  if (options.on_load) options.on_load(total, total, "");
}

Checkpoint open_checkpoint(const EngineOptions& options) {
  CheckedModel model = check_model(options);
  convert(model, options);
  return std::move(model.checkpoint);
}

Tokenizer open_tokenizer(const std::string& model) {
  const fs::path path = resolve_model(model);
  if (!is_gguf_model(path)) return Tokenizer::from_folder(path);
  return Tokenizer::from_tokenizer_json(tokenizer_json_of_gguf(path), path.string());
}

}  // namespace qwenvl
