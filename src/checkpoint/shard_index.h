// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qwenvl {

struct ShardIndex {
  std::map<std::string, std::string> shard_of;  // tensor name as stored → file name
  std::optional<std::uint64_t> total_bytes;     // metadata.total_size
};

// `where` names the file in messages. Throws bad_file: not JSON, no weight_map, duplicate names,
// shard names that leave the folder or are no safetensors files.
ShardIndex parse_shard_index(std::string_view text, const std::string& where);

}  // namespace qwenvl
