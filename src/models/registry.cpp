// Architecture names → models, one line per model.
#include "checkpoint/checkpoint.h"
#include "models/json_fields.h"
#include "models/model.h"
#include "models/qwen2_5_vl/qwen2_5_vl.h"

namespace qwenvl {
namespace {

struct Architecture {
  const char* name;  // the first entry of config.json's "architectures"
  std::unique_ptr<Model> (*make)(const Checkpoint&, std::optional<DType>);
};

constexpr Architecture kArchitectures[] = {
    {"Qwen2_5_VLForConditionalGeneration", &qwen2_5_vl::make},
};

}  // namespace

std::unique_ptr<Model> make_model(const Checkpoint& checkpoint, std::optional<DType> compute) {
  const std::string where = (checkpoint.folder() / "config.json").string();
  const auto names =
      JsonFields::parse(checkpoint.text_of("config.json"), where).texts("architectures");
  const std::string found = names && !names->empty() ? names->front() : "";
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (found == architecture.name) return architecture.make(checkpoint, compute);
    known += (known.empty() ? "" : ", ") + std::string(architecture.name);
  }
  fail(ErrorKind::unsupported, "{}: architecture {}, expected one of {}", where, quoted(found),
       known);
}

}  // namespace qwenvl
