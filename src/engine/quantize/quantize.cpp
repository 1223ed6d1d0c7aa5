// Packs the matrices of a checkpoint into a new folder, a few panels at a time.
// Before: the command line or a program asks.   After: Checkpoint::open reads the folder like any.
#include "qwenvl/quantize.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/weight_source.h"
#include "core/check.h"
#include "core/clock.h"
#include "engine/engine_options.h"
#include "engine/guard.h"
#include "engine/open_checkpoint.h"
#include "engine/quantize/calibration.h"
#include "engine/quantize/quantize_plan.h"
#include "engine/quantize/tensor_packer.h"
#include "models/model.h"

namespace qwenvl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Moments of inputs that are in memory at a time.
constexpr std::uint64_t kMaxMomentBytes = 1'500'000'000;

class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, const QuantizeProgress& on_progress)
      : options_(options),
        on_progress_(on_progress),
        preset_(preset_named(options.format)),
        n_threads_(thread_count(options.n_threads)),
        out_(without_slashes(options.out)) {
    check_out();
    source_ = open_weight_source(path_of(options.model), options.projector);
    config_ = Json::parse(source_->text_of("config.json"), nullptr, false);
    if (!config_.is_object()) {
      fail(ErrorKind::bad_file, "{}: config.json is no JSON object", source_->path().string());
    }
    config_.erase("quantization_config");  // of the source: rows are read as plain numbers
    check_calibration();
    open_runnable();
    open_calibration();
  }

  QuantizeReport run() {
    const Stopwatch watch;
    const fs::path part = out_ + ".part";
    std::error_code error;
    fs::remove_all(part, error);
    fs::create_directories(part, error);
    if (error) fail(ErrorKind::device, "{}: cannot be made: {}", part.string(), error.message());
    try {
      copy_texts(part);
      write_tensors(part / "model.safetensors");
      make_model(Checkpoint::open(part), std::nullopt);  // complete, and of shapes that fit
      fs::rename(part, out_);
    } catch (...) {
      fs::remove_all(part, error);
      throw;
    }
    report_.seconds = watch.milliseconds() / 1000;
    return std::move(report_);
  }

 private:
  // "out/" is the folder "out", which is written as "out.part".
  static std::string without_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
  }

  void check_out() const {
    std::error_code error;
    if (out_.empty()) {
      fail(ErrorKind::bad_request, "OUT: empty, expected a folder name");
    }
    if (fs::exists(out_, error)) {
      fail(ErrorKind::bad_request, "{}: exists, expected a folder that does not", out_);
    }
  }

  void check_calibration() const {
    if (options_.calibration.empty() || preset_.decoder != Packing::none) return;
    fail(ErrorKind::bad_request,
         "calibration: format {} rounds no matrix with regard to its inputs, expected int8, int4 "
         "or int4-small",
         preset_.name);
  }

  // A folder of plain weights runs as it is, everything else as what its numbers are in bf16:
  // nothing is rounded before it is seen. What a source lacks is noticed now and not at the end.
  void open_runnable() {
    std::error_code error;
    report_.is_source_runnable =
        fs::is_directory(source_->path(), error) &&
        std::none_of(source_->tensors().begin(), source_->tensors().end(),
                     [](const auto& named) { return named.second->is_quantised(); });
    if (report_.is_source_runnable) {
      runnable_ = CheckedModel{Checkpoint::open(source_->path()), nullptr, {}, {}};
      make_model(runnable_->checkpoint, std::nullopt);
    } else {
      runnable_ = check_model(options_of_runnable());
    }
  }

  EngineOptions options_of_runnable() const {
    EngineOptions engine;
    engine.model = options_.model;
    engine.projector = options_.projector;
    engine.weights = "bf16";
    engine.n_threads = n_threads_;
    engine.on_load = on_progress_;
    return engine;
  }

  void open_calibration() {
    if (options_.calibration.empty()) {
      runnable_.reset();
      return;
    }
    calibration_ =
        std::make_unique<Calibration>(runnable_->checkpoint, options_.calibration, n_threads_);
    convert(*runnable_, options_of_runnable());
    report_.n_calibration_items = calibration_->n_items();
    report_.n_calibration_tokens = calibration_->n_tokens();
  }

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
    TensorPacker packer(n_threads_, writer, [this](std::int64_t n) { advance(n); });
    std::span<const PlannedTensor> left = tensors;
    while (calibration_ && !left.empty() && left.front().takes_calibration()) {
      const auto together = calibrated_together(left, kMaxMomentBytes);
      write_calibrated(together, packer);
      left = left.subspan(together.size());
    }
    for (const PlannedTensor& tensor : left) write_tensor(tensor, packer, nullptr);
    writer.finish();
  }

  void write_calibrated(std::span<const PlannedTensor> tensors, TensorPacker& packer) {
    auto moments = calibration_->collect(tensors, [&](const std::string& item) {
      now_ = "calibration, " + item;
      advance(0);
    });
    for (const PlannedTensor& tensor : tensors) {
      const auto moment = moments.find(tensor.name);
      write_tensor(tensor, packer, moment == moments.end() ? nullptr : &moment->second);
    }
  }

  void write_tensor(const PlannedTensor& tensor, TensorPacker& packer, InputMoment* moment) {
    now_ = tensor.name;
    QuantizedTensor& done = report_.tensors.emplace_back();
    const Shape& shape = tensor.stored->shape();
    done.name = tensor.name;
    done.packing =
        tensor.packing == Packing::none ? name_of(tensor.plain_type) : name_of(tensor.packing);
    for (int i = 0; i < shape.rank(); ++i) done.shape.push_back(shape[i]);
    done.before = tensor.stored->format();
    done.bytes = tensor.bytes();
    done.is_calibrated = moment != nullptr;
    if (tensor.packing == Packing::none) {
      packer.write_plain(tensor);
    } else {
      done.relative_error = moment ? packer.write_packed(tensor, calibration_->backend(), *moment)
                                   : packer.write_packed(tensor);
    }
    source_->release_pages(tensor.name);
    report_.bytes += done.bytes;
  }

  void advance(std::int64_t n) {
    done_ += static_cast<std::uint64_t>(n);
    if (on_progress_) on_progress_(done_, total_, now_);
  }

  const QuantizeOptions& options_;
  const QuantizeProgress& on_progress_;
  const Preset& preset_;
  const int n_threads_;
  const std::string out_;
  std::unique_ptr<WeightSource> source_;
  std::optional<CheckedModel> runnable_;      // the source as a model, where one is run
  std::unique_ptr<Calibration> calibration_;  // empty unless asked for
  Json config_;
  QuantizeReport report_;
  std::uint64_t done_ = 0, total_ = 0;
  std::string now_;  // what is being worked on
};

}  // namespace

QuantizeReport quantize(const QuantizeOptions& options, const QuantizeProgress& on_progress) {
  return guarded([&] { return Quantizer(options, on_progress).run(); });
}

}  // namespace qwenvl
