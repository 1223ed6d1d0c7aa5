// Reads the header of one safetensors file into checked entries.
// Before: mapped_file.cpp maps the file.   After: checkpoint.cpp joins the entries of all shards.
// Mirrors the format description of the safetensors library (header checks of its reader).
//
//   bytes 0..7    N, little-endian, length of the header
//   bytes 8..     N bytes of JSON: {"name": {"dtype": "BF16", "shape": [2, 3],
//                 "data_offsets": [begin, end]}, …, "__metadata__": {"format": "pt"}}
//   then          the tensors' bytes, without gaps; offsets count from here
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "checkpoint/json_events.h"
#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

// A type of the format: its size, and ours where we have one.
struct StoredType {
  const char* name;
  std::size_t bits;
  std::optional<DType> type;
};

constexpr StoredType kStoredTypes[] = {
    {"F64", 64, {}},           {"F32", 32, DType::f32}, {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16}, {"I64", 64, DType::i64}, {"I32", 32, DType::i32},
    {"I16", 16, {}},           {"I8", 8, DType::i8},    {"U8", 8, DType::u8},
    {"U16", 16, {}},           {"U32", 32, {}},         {"U64", 64, {}},
    {"BOOL", 8, {}},           {"C64", 64, {}},         {"F8_E4M3", 8, {}},
    {"F8_E5M2", 8, {}},        {"F8_E4M3FNUZ", 8, {}},  {"F8_E5M2FNUZ", 8, {}},
    {"F8_E8M0", 8, {}},        {"F4", 4, {}},           {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
};

const StoredType* find_stored_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

// One tensor as the header states it; nothing is believed yet.
struct RawEntry {
  std::optional<std::string> type;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
};

using RawEntries = std::map<std::string, RawEntry>;

// Events of the header → RawEntries. Depth 1 is the header, 2 an entry, 3 a list in an entry.
class HeaderReader : public JsonEvents {
 public:
  HeaderReader(std::string_view where, RawEntries& entries,
               std::map<std::string, std::string>& metadata)
      : JsonEvents(where, "header"), entries_(entries), metadata_(metadata) {}

  bool start_object(std::size_t) {
    const bool is_header = depth() == 0;
    const bool is_entry = depth() == 1 && !in_list_;
    if (!is_header && !is_entry) refuse("an object");
    enter();
    return true;
  }

  bool end_object() {
    leave();
    if (depth() == 1) is_metadata_ = false;
    field_.clear();
    return true;
  }

  bool key(std::string& name) {
    if (depth() == 1) return begin_entry(name);
    if (is_metadata_) {
      if (!metadata_.emplace(name, "").second) refuse_duplicate("__metadata__." + name);
      field_ = name;
      return true;
    }
    const bool is_new = name == "dtype"          ? !entry_->type
                        : name == "shape"        ? !entry_->shape
                        : name == "data_offsets" ? !entry_->offsets
                                                 : refuse_field(name);
    if (!is_new) refuse_duplicate(place_ + "." + name);
    field_ = name;
    return true;
  }

  bool string(std::string& text) {
    if (depth() == 2 && is_metadata_) {
      metadata_[field_] = std::move(text);
    } else if (depth() == 2 && field_ == "dtype" && !in_list_) {
      entry_->type = std::move(text);
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_array(std::size_t) {
    const bool is_list = depth() == 2 && !is_metadata_ && !in_list_;
    if (!is_list || (field_ != "shape" && field_ != "data_offsets")) refuse("an array");
    list_ = field_ == "shape" ? &entry_->shape.emplace() : &entry_->offsets.emplace();
    in_list_ = true;
    return true;
  }

  bool end_array() {
    in_list_ = false;
    return true;
  }

  bool number_unsigned(std::uint64_t value) {
    if (!in_list_) refuse("a number");
    const std::size_t limit = field_ == "shape" ? Shape::kMaxRank : 2;
    if (list_->size() == limit) {
      fail(ErrorKind::bad_file, "{}: tensor {} has more than {} numbers in {}", where_,
           quoted(place_), limit, field_);
    }
    list_->push_back(value);
    return true;
  }

 private:
  bool begin_entry(const std::string& name) {
    place_ = name;
    if (name == "__metadata__") {
      if (has_metadata_) refuse_duplicate(name);
      is_metadata_ = has_metadata_ = true;
      return true;
    }
    const auto [at, is_new] = entries_.try_emplace(name);
    if (!is_new) refuse_duplicate(name);
    entry_ = &at->second;
    return true;
  }

  [[noreturn]] void refuse_duplicate(const std::string& name) const {
    fail(ErrorKind::bad_file, "{}: the header has {} twice", where_, quoted(name));
  }

  [[noreturn]] bool refuse_field(const std::string& name) const {
    fail(ErrorKind::bad_file, "{}: tensor {} has an unknown field {}", where_, quoted(place_),
         quoted(name));
  }

  RawEntries& entries_;
  std::map<std::string, std::string>& metadata_;
  RawEntry* entry_ = nullptr;
  std::vector<std::uint64_t>* list_ = nullptr;
  std::string field_;
  bool is_metadata_ = false, has_metadata_ = false, in_list_ = false;
};

// The header's bytes, its length checked against the limit and the file.
std::string_view header_of(std::span<const std::byte> file, const std::string& where) {
  if (file.size() < kLengthBytes) {
    fail(ErrorKind::bad_file, "{}: {} bytes, too short for a safetensors file", where, file.size());
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  if (length > kMaxHeaderBytes) {
    fail(ErrorKind::bad_file,
         "{}: states a header of {} bytes, expected at most {}; this is no safetensors file", where,
         length, kMaxHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    fail(ErrorKind::bad_file,
         "{}: states a header of {} bytes, but only {} follow; the file is truncated", where,
         length, file.size() - kLengthBytes);
  }
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (header.empty() || header.front() != '{') {
    fail(ErrorKind::bad_file,
         "{}: the header does not begin with '{{'; this is no safetensors file", where);
  }
  return header;
}

// count(dims) · bits / 8, or nothing when the product leaves 63 bits or is no whole byte.
std::optional<std::uint64_t> byte_count(const std::vector<std::uint64_t>& dims, std::size_t bits) {
  // Zeros are left out of the product so that [0, huge, huge] is refused as well.
  std::uint64_t product = bits;
  bool is_empty = false;
  for (std::uint64_t dim : dims) {
    if (dim == 0) is_empty = true;
    if (dim != 0 && __builtin_mul_overflow(product, dim, &product)) return {};
  }
  if (product > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
  if (is_empty) return 0;
  if (product % 8 != 0) return {};
  return product / 8;
}

// Where an entry lies in the data part.
struct Extent {
  std::uint64_t begin, end;
  const std::string* name;
};

// The checks an entry can stand alone: fields present, type known, shape × type = bytes.
Extent check_entry(const std::string& name, const RawEntry& raw, const std::string& where) {
  const auto refuse_missing = [&](const char* field) {
    fail(ErrorKind::bad_file, "{}: tensor {} has no {}", where, quoted(name), field);
  };
  if (!raw.type) refuse_missing("dtype");
  if (!raw.shape) refuse_missing("shape");
  if (!raw.offsets || raw.offsets->size() != 2) refuse_missing("pair of data_offsets");
  const StoredType* stored = find_stored_type(*raw.type);
  if (!stored) {
    fail(ErrorKind::bad_file, "{}: tensor {} has the unknown dtype {}", where, quoted(name),
         quoted(*raw.type));
  }
  const auto [begin, end] = std::pair((*raw.offsets)[0], (*raw.offsets)[1]);
  if (begin > end) {
    fail(ErrorKind::bad_file, "{}: tensor {} begins at byte {} and ends before it, at {}", where,
         quoted(name), begin, end);
  }
  const std::optional<std::uint64_t> expected = byte_count(*raw.shape, stored->bits);
  if (!expected) {
    fail(ErrorKind::bad_file, "{}: tensor {} of {} has the impossible shape [{}]", where,
         quoted(name), stored->name, fmt::join(*raw.shape, ", "));
  }
  if (end - begin != *expected) {
    fail(ErrorKind::bad_file,
         "{}: tensor {} of {} and shape [{}] takes {} bytes, but its offsets span {}", where,
         quoted(name), stored->name, fmt::join(*raw.shape, ", "), *expected, end - begin);
  }
  return {begin, end, &name};
}

// The tensors must fill the data part exactly: nothing hidden, nothing shared.
void check_extents(std::vector<Extent>& extents, std::uint64_t data_bytes,
                   const std::string& where) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t position = 0;
  for (const Extent& extent : extents) {
    if (extent.end > data_bytes) {
      fail(ErrorKind::bad_file,
           "{}: tensor {} ends at data byte {}, but the file has only {}; it is truncated", where,
           quoted(*extent.name), extent.end, data_bytes);
    }
    if (extent.begin != position) {
      fail(ErrorKind::bad_file, "{}: tensor {} begins at data byte {}, expected {} ({})", where,
           quoted(*extent.name), extent.begin, position,
           extent.begin < position ? "it overlaps another tensor" : "there is a gap before it");
    }
    position = extent.end;
  }
  if (position != data_bytes) {
    fail(ErrorKind::bad_file, "{}: {} bytes follow the last tensor, expected none", where,
         data_bytes - position);
  }
}

// The checked entry as a view; our own limits (types, alignment) come last, so that a damaged file
// is called damaged.
TensorEntry make_entry(const std::string& name, const RawEntry& raw,
                       std::span<const std::byte> data, const std::string& where) {
  const StoredType& stored = *find_stored_type(*raw.type);
  if (!stored.type) {
    fail(
        ErrorKind::unsupported,
        "{}: tensor {} is stored as {}, which qwenvl does not read; convert it to BF16, F16 or F32",
        where, quoted(name), stored.name);
  }
  const std::span<const std::byte> bytes =
      data.subspan((*raw.offsets)[0], (*raw.offsets)[1] - (*raw.offsets)[0]);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(*stored.type) != 0) {
    fail(ErrorKind::unsupported,
         "{}: tensor {} of {} is not aligned to its {}-byte elements; save the file again with a "
         "current safetensors library",
         where, quoted(name), stored.name, size_of(*stored.type));
  }
  std::vector<std::int64_t> dims(raw.shape->begin(), raw.shape->end());
  return {*stored.type, Shape(std::span<const std::int64_t>(dims)), bytes};
}

}  // namespace

std::map<std::string, TensorEntry> parse_safetensors(std::span<const std::byte> file,
                                                     const std::string& where,
                                                     std::map<std::string, std::string>* metadata) {
  const std::string_view header = header_of(file, where);
  RawEntries raw_entries;
  std::map<std::string, std::string> header_metadata;
  HeaderReader reader(where, raw_entries, header_metadata);
  nlohmann::json::sax_parse(header.begin(), header.end(), &reader);

  const std::span<const std::byte> data = file.subspan(kLengthBytes + header.size());
  std::vector<Extent> extents;
  extents.reserve(raw_entries.size());
  for (const auto& [name, raw] : raw_entries) extents.push_back(check_entry(name, raw, where));
  check_extents(extents, data.size(), where);

  std::map<std::string, TensorEntry> entries;
  for (const auto& [name, raw] : raw_entries) {
    entries.emplace_hint(entries.end(), name, make_entry(name, raw, data, where));
  }
  if (metadata) *metadata = std::move(header_metadata);
  return entries;
}

}  // namespace qwenvl
