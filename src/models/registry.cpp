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
  const nlohmann::json config = parse_json_object(checkpoint.text_of("config.json"), where);
  std::string found;
  if (const auto it = config.find("architectures");
      it != config.end() && it->is_array() && !it->empty() && (*it)[0].is_string()) {
    found = (*it)[0].get<std::string>();
  }
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (found == architecture.name) return architecture.make(checkpoint, compute);
    known += (known.empty() ? "" : ", ") + std::string(architecture.name);
  }
  fail(ErrorKind::unsupported, "{}: architecture {}, expected one of {}", where, quoted(found),
       known);
}

}  // namespace qwenvl
