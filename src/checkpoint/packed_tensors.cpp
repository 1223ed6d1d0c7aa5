// Reads and writes the metadata of packed tensors. Foreign bytes: nothing is believed.
#include "checkpoint/packed_tensors.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kVersionKey = "qwenvl.version";
constexpr const char* kTensorsKey = "qwenvl.packed";
constexpr std::int64_t kMostNumbers = std::int64_t{1} << 40;  // of one tensor
// A row's products of bytes, of at most 127 · 127 each, are added up in 32 bits.
constexpr std::int64_t kMostColumns = std::int64_t{1} << 17;

Shape parse_shape(const Json& shape, const std::string& name, const std::string& where) {
  std::int64_t count = 1;
  std::vector<std::int64_t> dims;
  if (shape.is_array() && shape.size() == 2) {
    for (const Json& dim : shape) {
      if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > std::uint64_t{1} << 31) break;
      dims.push_back(dim.get<std::int64_t>());
      count *= dims.back();
      if (dims.back() == 0 || count > kMostNumbers) break;
    }
  }
  if (dims.size() != 2 || count <= 0 || count > kMostNumbers) {
    fail(ErrorKind::bad_file, "{}: {} says that tensor {} has the shape {}, expected two sizes",
         where, kTensorsKey, quoted(name), shape.dump());
  }
  if (dims[1] > kMostColumns) {
    fail(ErrorKind::unsupported,
         "{}: tensor {} is packed in rows of {} numbers, expected at most {}", where, quoted(name),
         dims[1], kMostColumns);
  }
  return Shape(std::span<const std::int64_t>(dims));
}

PackedTensor parse_tensor(const Json& stated, const std::string& name,
                          const std::map<std::string, TensorEntry>& entries,
                          const std::string& where) {
  const bool is_complete = stated.is_object() && stated.size() == 2 && stated.contains("packing") &&
                           stated["packing"].is_string() && stated.contains("shape");
  if (!is_complete) {
    fail(ErrorKind::bad_file, "{}: {} has {} for tensor {}, expected a packing and a shape", where,
         kTensorsKey, stated.dump(), quoted(name));
  }
  const auto entry = entries.find(name);
  if (entry == entries.end()) {
    fail(ErrorKind::bad_file, "{}: {} names tensor {}, which is not in the file", where,
         kTensorsKey, quoted(name));
  }
  if (entry->second.type != DType::u8) {
    fail(ErrorKind::bad_file, "{}: tensor {} is said to be packed, but is {}, expected {}", where,
         quoted(name), name_of(entry->second.type), name_of(DType::u8));
  }
  return {stated["packing"].get<std::string>(), parse_shape(stated["shape"], name, where)};
}

}  // namespace

std::map<std::string, PackedTensor> parse_packed_tensors(
    const std::map<std::string, std::string>& metadata,
    const std::map<std::string, TensorEntry>& entries, const std::string& where) {
  std::map<std::string, PackedTensor> tensors;
  const auto version = metadata.find(kVersionKey), stated = metadata.find(kTensorsKey);
  if (version == metadata.end() && stated == metadata.end()) return tensors;
  if (version == metadata.end() || stated == metadata.end()) {
    fail(ErrorKind::bad_file, "{}: the metadata has only one of {} and {}, expected both", where,
         kVersionKey, kTensorsKey);
  }
  if (version->second != kPackedVersion) {
    fail(ErrorKind::unsupported,
         "{}: packed in version {} of the format, this program reads version {}; use a newer "
         "qwenvl, or quantise the original again",
         where, quoted(version->second), kPackedVersion);
  }
  const Json list = Json::parse(stated->second, nullptr, false);
  if (!list.is_object()) {
    fail(ErrorKind::bad_file, "{}: {} is no JSON object", where, kTensorsKey);
  }
  for (const auto& [name, tensor] : list.items()) {
    tensors.emplace(name, parse_tensor(tensor, name, entries, where));
  }
  return tensors;
}

std::map<std::string, std::string> packed_metadata(
    const std::map<std::string, PackedTensor>& tensors) {
  Json list = Json::object();
  for (const auto& [name, tensor] : tensors) {
    list[name] = {{"packing", tensor.packing}, {"shape", {tensor.shape[0], tensor.shape[1]}}};
  }
  return {{kVersionKey, kPackedVersion}, {kTensorsKey, list.dump()}};
}

}  // namespace qwenvl
