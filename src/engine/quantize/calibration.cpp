// Runs items as often as memory for the moments asks for, each time up to the layers in question.
#include "engine/quantize/calibration.h"

#include <algorithm>

#include "backend/observed_backend.h"
#include "core/check.h"
#include "engine/open_checkpoint.h"
#include "engine/scheduling/kv_cache.h"
#include "media/source.h"

namespace qwenvl {
namespace {

// Pictures are made at most this large: more of the same picture tells little more.
constexpr std::int64_t kMaxPixels = 1024 * 28 * 28;
// Features of all pictures are kept, 4 to 7 kilobytes for each token of the published models.
constexpr std::int64_t kMaxTokens = 1 << 17;

// Leaves the run of a model whose remaining layers are not needed.
struct SeenEnough {};

}  // namespace

struct Calibration::Pass {
  std::map<std::string, InputMoment> moments;
  std::map<const void*, InputMoment*> wanted;  // by where the matrix lies
  std::map<const void*, std::string> names;    // of all matrices
  int last_layer = 0;
  std::string previous;  // the layer in use, as the beginning of its tensors' names

  void observe(const Calibration& calibration, const Tensor& x, const Weight& w) {
    const auto at = names.find(w.data);
    if (at == names.end()) return;
    if (layer_of(at->second) > last_layer) throw SeenEnough();
    // Only one layer's weights need to be in memory.
    if (!at->second.starts_with(previous)) calibration.checkpoint_.release_pages(previous);
    previous = layer_prefix(at->second);
    const auto moment = wanted.find(w.data);
    if (moment != wanted.end()) moment->second->add(*calibration.backend_, x);
  }
};

// An item as the model takes it.
struct Calibration::Prepared {
  std::vector<VisionInput> media;
  Prompt prompt;
};

Calibration::Calibration(const Checkpoint& checkpoint, const std::filesystem::path& folder,
                         int n_threads)
    : checkpoint_(checkpoint),
      items_(read_calibration_items(folder)),
      tokenizer_(open_tokenizer(checkpoint.folder().string())),
      model_(make_model(checkpoint, std::nullopt)),
      backend_(make_backend("auto", n_threads)),
      features_(items_.size()) {
  for (const CalibrationItem& item : items_) {
    const std::int64_t n = std::ssize(prepare(item).prompt.ids);
    if (n > model_->info().max_positions) {
      fail(ErrorKind::bad_request, "calibration: {}: {} tokens, expected at most the model's {}",
           item.name, n, model_->info().max_positions);
    }
    n_tokens_ += n;
  }
  if (n_tokens_ > kMaxTokens) {
    fail(ErrorKind::bad_request,
         "calibration: {} tokens in {} items, expected at most {}: take fewer files", n_tokens_,
         items_.size(), kMaxTokens);
  }
}

Calibration::Prepared Calibration::prepare(const CalibrationItem& item) const {
  try {
    Prepared prepared;
    for (const std::filesystem::path& path : item.pictures) {
      const SourceBytes source = read_source(path.string());
      const Image image = decode_image(source.bytes, source.name, Loader::qwen_vl_utils);
      prepared.media.push_back(
          model_->prepare_image(image, {.min_pixels = {}, .max_pixels = kMaxPixels}, {}));
    }
    Conversation conversation;
    conversation.messages = item.messages;
    conversation.options.add_generation_prompt = item.messages.back().role != "assistant";
    for (const VisionInput& input : prepared.media) conversation.media.push_back(&input);
    prepared.prompt = model_->lay_out(conversation, tokenizer_, {});
    return prepared;
  } catch (const Error& error) {
    throw Error(error.kind(), "calibration: " + item.name + ": " + error.what());
  }
}

std::map<std::string, InputMoment> Calibration::collect(
    std::span<const PlannedTensor> matrices,
    const std::function<void(const std::string&)>& on_item) {
  Pass pass;
  for (const auto& [name, entry] : checkpoint_.tensors()) {
    pass.names[entry.bytes.data()] = name;
  }
  for (const PlannedTensor& matrix : matrices) {
    InputMoment& moment =
        pass.moments.try_emplace(matrix.name, matrix.stored->row_width()).first->second;
    pass.wanted[checkpoint_.tensors().at(matrix.name).bytes.data()] = &moment;
    pass.last_layer = std::max(pass.last_layer, matrix.layer);
  }
  for (std::size_t i = 0; i < items_.size(); ++i) {
    on_item(items_[i].name);
    run(i, pass);
  }
  workspace_.trim();
  checkpoint_.release_pages("");
  std::erase_if(pass.moments, [](const auto& named) { return named.second.n_rows() == 0; });
  return std::move(pass.moments);
}

void Calibration::run(std::size_t item, Pass& pass) {
  const Prepared prepared = prepare(items_[item]);
  ObservedBackend backend(*backend_,
                          [&](const Tensor& x, const Weight& w) { pass.observe(*this, x, w); });
  auto& features = features_[item];
  if (features.empty()) {
    std::vector<std::vector<std::byte>> encoded;
    for (const VisionInput& input : prepared.media) {
      try {
        encoded.push_back(encode(backend, input));
      } catch (const SeenEnough&) {
      }
    }
    if (encoded.size() < prepared.media.size()) return;
    features = std::move(encoded);
  }
  try {
    read_prompt(backend, prepared, item);
  } catch (const SeenEnough&) {
  }
}

std::vector<std::byte> Calibration::encode(Backend& backend, const VisionInput& input) {
  const ModelInfo& info = model_->info();
  std::vector<std::byte> memory(static_cast<std::size_t>(input.n_tokens * info.feature_width) *
                                size_of(info.compute));
  model_->encode(backend, workspace_, input,
                 Tensor(memory.data(), info.compute, {input.n_tokens, info.feature_width}));
  return memory;
}

void Calibration::read_prompt(Backend& backend, const Prepared& prepared, std::size_t item) {
  const ModelInfo& info = model_->info();
  const Prompt& prompt = prepared.prompt;
  const std::int64_t n = std::ssize(prompt.ids);
  KvPool pool(info.kv, n / kKvPageTokens + 1);
  KvCache cache(pool);
  cache.prepare(n);
  Batch batch;
  batch.ids = prompt.ids;
  batch.positions = prompt.positions;
  batch.kv.layout = info.kv;
  batch.kv.sequences.push_back({0, n, 0, cache.pages()});
  for (const MediaSlot& slot : prompt.slots) {
    const std::size_t media = static_cast<std::size_t>(slot.media);
    batch.features.push_back({slot.first_token, Tensor(features_[item][media].data(), info.compute,
                                                       {slot.n_tokens, info.feature_width})});
  }
  // Without logits the head is not run; being traced, the last layer computes all rows.
  const Trace all_rows = [](const char*, int, const Tensor&) {};
  model_->forward(backend, workspace_, batch, Tensor(), &all_rows);
}

}  // namespace qwenvl
