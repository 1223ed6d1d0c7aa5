// Packs the matrices of a checkpoint into a new folder, a few panels at a time.
// Before: the command line or a program asks.   After: Checkpoint::open reads the folder like any.
#include "qwenvl/quantize.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/weight_source.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/numbers.h"
#include "core/thread_pool.h"
#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/quantize_plan.h"
#include "models/model.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kPanelsAtOnce = 8;  // of each thread

class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, const QuantizeProgress& on_progress)
      : options_(options),
        on_progress_(on_progress),
        preset_(preset_named(options.format)),
        source_(open_weight_source(path_of(options.model), options.projector)),
        pool_(thread_count(options.n_threads)) {
    config_ = Json::parse(source_->text_of("config.json"), nullptr, false);
    if (!config_.is_object()) {
      fail(ErrorKind::bad_file, "{}: config.json is no JSON object", source_->path().string());
    }
    config_.erase("quantization_config");  // of the source: rows are read as plain numbers
  }

  QuantizeReport run() {
    const Stopwatch watch;
    const fs::path out = options_.out, part = options_.out + ".part";
    std::error_code error;
    if (out.empty() || fs::exists(out, error)) {
      fail(ErrorKind::bad_request, "{}: exists, expected a folder that does not",
           out.empty() ? "out" : out.string());
    }
    fs::remove_all(part, error);
    fs::create_directories(part, error);
    if (error) fail(ErrorKind::device, "{}: cannot be made: {}", part.string(), error.message());
    try {
      copy_texts(part);
      write_tensors(part / "model.safetensors");
      make_model(Checkpoint::open(part), std::nullopt);  // complete, and of shapes that fit
      fs::rename(part, out);
    } catch (...) {
      fs::remove_all(part, error);
      throw;
    }
    report_.seconds = watch.milliseconds() / 1000;
    return std::move(report_);
  }

 private:
  static fs::path path_of(const std::string& model) {
    const fs::path folder = resolve_model(model);
    std::error_code error;
    if (fs::exists(folder / "model.safetensors", error) &&
        Checkpoint::open(folder).has_packed_tensors()) {
      fail(ErrorKind::bad_request, "{}: is quantised already; quantise the original instead",
           folder.string());
    }
    return folder;
  }

  // Configuration, tokenizer, templates: everything that is no weight.
  void copy_texts(const fs::path& to) {
    if (fs::is_directory(source_->path())) {
      copy_files(to);
    } else {
      for (const char* name : {"preprocessor_config.json", "generation_config.json",
                               "tokenizer.json", "tokenizer_config.json", "chat_template.json",
                               "chat_template.jinja", "video_preprocessor_config.json"}) {
        const std::string text = source_->text_of(name);
        if (!text.empty()) write_text(to / name, text);
      }
    }
    if (preset_.decoder != Packing::none) {
      config_["quantization_config"] = {
          {"quant_method", "qwenvl"}, {"format", preset_.name}, {"version", kPackedVersion}};
    } else {
      config_["torch_dtype"] = name_of(DType::bf16);  // whatever it was before
    }
    write_text(to / "config.json", config_.dump(2) + "\n");
  }

  static void write_text(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) fail(ErrorKind::device, "{}: cannot be written", path.string());
  }

  void copy_files(const fs::path& to) {
    for (const auto& file : fs::directory_iterator(source_->path())) {
      const std::string name = file.path().filename().string();
      const std::string ending = file.path().extension().string();
      const bool is_text = ending == ".json" || ending == ".txt" || ending == ".jinja" ||
                           ending == ".md" || name == "LICENSE";
      const bool is_rewritten = name == "config.json" || name == "quantize_config.json";
      if (!is_text || is_rewritten || name.ends_with(".index.json")) continue;
      // What the cache links to, not the link.
      std::error_code error;
      fs::copy_file(fs::canonical(file.path()), to / name, error);
      if (error) fail(ErrorKind::device, "{}: cannot be copied: {}", name, error.message());
    }
  }

  void write_tensors(const fs::path& path) {
    const std::vector<PlannedTensor> tensors = plan_tensors(*source_, preset_);
    std::vector<SafetensorsWriter::Declared> declared;
    std::map<std::string, PackedTensor> packed;
    for (const PlannedTensor& tensor : tensors) {
      const Shape& shape = tensor.stored->shape();
      total_ += static_cast<std::uint64_t>(shape.count());
      if (tensor.packing == Packing::none) {
        declared.push_back({tensor.name, tensor.plain_type, shape});
        continue;
      }
      packed[tensor.name] = {name_of(tensor.packing), shape};
      declared.push_back(
          {tensor.name, DType::u8, {n_panels(shape[0]), panel_bytes(tensor.packing, shape[1])}});
    }
    std::map<std::string, std::string> metadata;
    if (!packed.empty()) metadata = packed_metadata(packed);
    metadata["format"] = "pt";
    SafetensorsWriter writer(path, declared, metadata);
    for (const PlannedTensor& tensor : tensors) write_tensor(tensor, writer);
    writer.finish();
  }

  void write_tensor(const PlannedTensor& tensor, SafetensorsWriter& writer) {
    QuantizedTensor& done = report_.tensors.emplace_back();
    const Shape& shape = tensor.stored->shape();
    done.name = tensor.name;
    done.packing =
        tensor.packing == Packing::none ? name_of(tensor.plain_type) : name_of(tensor.packing);
    for (int i = 0; i < shape.rank(); ++i) done.shape.push_back(shape[i]);
    done.before = tensor.stored->format();
    done.bytes = tensor.bytes();
    if (tensor.packing == Packing::none) {
      write_plain(tensor, writer);
    } else {
      done.relative_error = write_packed(tensor, writer);
    }
    report_.bytes += done.bytes;
  }

  void write_plain(const PlannedTensor& tensor, SafetensorsWriter& writer) {
    const std::int64_t width = tensor.stored->row_width(), n_rows = tensor.stored->n_rows();
    const std::int64_t at_once = std::max<std::int64_t>(1, (1 << 20) / width);
    std::vector<float> numbers;
    std::vector<bf16> rounded;
    for (std::int64_t first = 0; first < n_rows; first += at_once) {
      const std::int64_t n = std::min(at_once, n_rows - first);
      numbers.resize(static_cast<std::size_t>(n * width));
      tensor.stored->read_rows(first, n, numbers.data());
      if (tensor.plain_type == DType::bf16) {
        rounded.resize(numbers.size());
        std::transform(numbers.begin(), numbers.end(), rounded.begin(), to_bf16);
        writer.write(std::as_bytes(std::span(rounded)));
      } else {
        writer.write(std::as_bytes(std::span(numbers)));
      }
      advance(tensor.name, n * width);
    }
  }

  // Returns the relative error.
  double write_packed(const PlannedTensor& tensor, SafetensorsWriter& writer) {
    const std::int64_t n_out = tensor.stored->shape()[0], n_in = tensor.stored->shape()[1];
    const std::int64_t bytes = panel_bytes(tensor.packing, n_in);
    const std::int64_t at_once = pool_.n_threads() * kPanelsAtOnce;
    std::vector<std::byte> panels(static_cast<std::size_t>(at_once * bytes));
    std::vector<double> errors(static_cast<std::size_t>(at_once)), sizes(errors.size());
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(pool_.n_threads()));
    double error = 0, size = 0;
    for (std::int64_t first = 0; first < n_panels(n_out); first += at_once) {
      const std::int64_t n = std::min(at_once, n_panels(n_out) - first);
      pool_.parallel_for(n, [&](std::int64_t i, int thread) {
        const std::int64_t row = (first + i) * kPanelRows;
        const std::int64_t n_rows = std::min(kPanelRows, n_out - row);
        std::vector<float>& numbers = rows[static_cast<std::size_t>(thread)];
        numbers.resize(static_cast<std::size_t>(n_rows * n_in));
        const std::size_t at = static_cast<std::size_t>(i);
        sizes[at] = read_finite_rows(tensor, row, n_rows, numbers.data());
        errors[at] =
            pack_panel(tensor.packing, numbers.data(), n_rows, n_in, {}, panels.data() + i * bytes);
      });
      for (std::int64_t i = 0; i < n; ++i) {
        error += errors[static_cast<std::size_t>(i)];
        size += sizes[static_cast<std::size_t>(i)];
      }
      writer.write(std::span(panels).first(static_cast<std::size_t>(n * bytes)));
      advance(tensor.name, std::min(n * kPanelRows, n_out - first * kPanelRows) * n_in);
    }
    return size > 0 ? std::sqrt(error / size) : 0;
  }

  void advance(const std::string& name, std::int64_t n) {
    done_ += static_cast<std::uint64_t>(n);
    if (on_progress_) on_progress_(done_, total_, name);
  }

  const QuantizeOptions& options_;
  const QuantizeProgress& on_progress_;
  const Preset& preset_;
  const std::unique_ptr<WeightSource> source_;
  ThreadPool pool_;
  Json config_;
  QuantizeReport report_;
  std::uint64_t done_ = 0, total_ = 0;
};

}  // namespace

QuantizeReport quantize(const QuantizeOptions& options, const QuantizeProgress& on_progress) {
  return guarded([&] { return Quantizer(options, on_progress).run(); });
}

}  // namespace qwenvl
