// What `qwenvl inspect` prints: a checkpoint without running it, and this machine.
#include "backend/cpu/cpu_features.h"
#include "core/settings.h"
#include "core/thread_pool.h"
#include "engine/generation/generation_settings.h"
#include "engine/guard.h"
#include "engine/machine.h"
#include "engine/open_checkpoint.h"
#include "models/model.h"
#include "qwenvl/tools.h"

namespace qwenvl {

namespace {

ModelSummary summary_of(const EngineOptions& options) {
  const CheckedModel model = check_model(options);
  const Checkpoint& checkpoint = model.checkpoint;
  const ModelInfo info = make_model(checkpoint, std::nullopt)->info();
  // Read only to be checked: what inspects without an error also opens.
  open_tokenizer(options.model);
  parse_generation_config(checkpoint.text_of("generation_config.json"),
                          (checkpoint.folder() / "generation_config.json").string());
  ModelSummary summary;
  summary.folder = checkpoint.folder().string();
  summary.architecture = info.architecture;
  summary.facts = info.facts;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    TensorSummary& tensor = summary.tensors.emplace_back();
    tensor.name = name;
    const PackedTensor* packed = checkpoint.packed(name);
    const Shape& shape = packed ? packed->shape : entry.shape;
    tensor.type = packed ? packed->packing : name_of(entry.type);
    tensor.stored_as = model.source ? model.source->tensor(name).format() : tensor.type;
    for (int i = 0; i < shape.rank(); ++i) tensor.shape.push_back(shape[i]);
    tensor.bytes = entry.bytes.size();
    tensor.file = checkpoint.file_of(name);
    summary.parameters += static_cast<std::uint64_t>(shape.count());
    summary.bytes += tensor.bytes;
  }
  return summary;
}

MachineSummary summary_of_machine() {
  check_settings();
  MachineSummary summary;
  summary.cpu = cpu::cpu_name();
  summary.cores = available_cores();
  summary.memory_bytes = total_memory_bytes();
  summary.available_bytes = available_memory_bytes();
  const cpu::KernelTable* chosen = &cpu::best_kernels();
  for (const cpu::KernelChoice& choice : cpu::kernel_choices()) {
    summary.kernels.push_back(
        {choice.table->name, choice.is_usable, choice.table == chosen, choice.reason});
  }
  summary.backend = std::string("cpu/") + chosen->name;
  return summary;
}

}  // namespace

ModelSummary inspect_model(const EngineOptions& options) {
  return guarded([&] { return summary_of(options); });
}

ModelSummary inspect_model(const std::string& model) {
  EngineOptions options;
  options.model = model;
  return inspect_model(options);
}

bool is_model_in_cache(const std::string& repository_id) {
  return guarded([&] { return is_in_cache(repository_id); });
}

MachineSummary inspect_machine() { return guarded(summary_of_machine); }

struct TextCodec::Impl {
  Tokenizer tokenizer;
};

TextCodec::TextCodec(const std::string& model)
    : impl_(guarded([&] { return new Impl{open_tokenizer(model)}; })) {}
TextCodec::~TextCodec() = default;

std::vector<std::int32_t> TextCodec::encode(const std::string& text, bool parse_special) const {
  const SpecialTokens special = parse_special ? SpecialTokens::parse : SpecialTokens::as_text;
  return guarded([&] { return impl_->tokenizer.encode(text, special); });
}

std::string TextCodec::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  return guarded([&] {
    for (const std::int32_t id : ids) {
      if (id >= 0 && id < impl_->tokenizer.size()) continue;
      fail(ErrorKind::bad_request,
           "decode: found id {}, expected 0 to {}, the ids of this tokenizer", id,
           impl_->tokenizer.size() - 1);
    }
    return impl_->tokenizer.decode(ids, skip_special);
  });
}

std::string TextCodec::token_text(std::int32_t id) const {
  return guarded([&] { return impl_->tokenizer.decode(std::span(&id, 1), false); });
}

}  // namespace qwenvl
