// Reads the head of a GGUF file into checked metadata and tensors.
// Before: mapped_file.cpp maps the file.   After: names.cpp and texts.cpp say what it means.
// Mirrors the format description of ggml, versions 2 and 3 (which differ in nothing read here).
//
//   bytes 0..3    "GGUF"; then u32 version, u64 number of tensors, u64 number of metadata values
//   values        key, u32 type, value;   a text is u64 length and bytes, a list is u32 type of the
//                 elements, u64 count and the elements
//   tensors       name, u32 number of dimensions, u64 each (fastest first), u32 type, u64 offset
//   then          zeros up to a multiple of general.alignment, and the tensors' bytes: offsets
//                 count from here
#include "checkpoint/gguf/gguf.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1 << 20;
constexpr std::uint64_t kMaxNameBytes = 1 << 16;
constexpr std::uint64_t kMaxDimension = std::uint64_t{1} << 40;
constexpr std::uint64_t kMaxTensorBytes = std::uint64_t{1} << 50;
// The least a value and a tensor take: what is left of the file bounds how many there can be.
constexpr std::uint64_t kMinValueBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

// Bytes of one element; 0 for texts, lists and types that do not exist.
std::uint64_t size_of(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    case GgufType::text:
    case GgufType::array: break;
  }
  return 0;
}

// The bytes of a tensor in the data part.
struct Extent {
  std::uint64_t begin, end;
  const std::string* name;
};

}  // namespace

// One pass over the head of a file.
class GgufReader {
 public:
  GgufReader(std::span<const std::byte> file, const std::string& where)
      : file_(file), where_(where), result_{GgufMetadata(where), {}} {}

  GgufFile read() {
    read_preamble();
    for (std::uint64_t i = 0; i < n_values_; ++i) read_value();
    refuse_split();
    read_alignment();
    for (std::uint64_t i = 0; i < n_tensors_; ++i) read_tensor();
    place_tensors();
    return std::move(result_);
  }

 private:
  std::uint64_t left() const { return file_.size() - at_; }

  // The next n bytes; `what` is being read, for the message when the file ends.
  const std::byte* take(std::uint64_t n, std::string_view what) {
    if (n > left()) {
      fail(ErrorKind::bad_file,
           "{}: {} takes {} bytes at byte {}, but the file has only {} left; "
           "it is truncated or damaged",
           where_, what, n, at_, left());
    }
    const std::byte* begin = file_.data() + at_;
    at_ += n;
    return begin;
  }

  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof value, what), sizeof value);
    return value;
  }

  std::string_view text(std::string_view what) {
    const auto n = number<std::uint64_t>(what);
    return {reinterpret_cast<const char*>(take(n, what)), static_cast<std::size_t>(n)};
  }

  std::string name(std::string_view what) {
    const std::string_view found = text(what);
    if (found.empty() || found.size() > kMaxNameBytes) {
      fail(ErrorKind::bad_file, "{}: {} has {} bytes, expected 1 to {}", where_, what, found.size(),
           kMaxNameBytes);
    }
    return std::string(found);
  }

  std::uint64_t count(std::string_view what, std::uint64_t least_bytes) {
    const auto n = number<std::uint64_t>(what);
    if (n > left() / least_bytes) {
      fail(ErrorKind::bad_file, "{}: {} is {}, more than the {} bytes left could hold", where_,
           what, n, left());
    }
    return n;
  }

  void read_preamble() {
    if (number<std::uint32_t>("the magic number") != kMagic) {
      fail(ErrorKind::bad_file, "{}: does not begin with 'GGUF'; it is no GGUF file", where_);
    }
    const auto version = number<std::uint32_t>("the version");
    if ((version & 0xffffu) == 0) {
      fail(ErrorKind::unsupported,
           "{}: version {:#x}, a big-endian GGUF file; convert the model "
           "again for little-endian machines",
           where_, version);
    }
    if (version != 2 && version != 3) {
      fail(ErrorKind::unsupported, "{}: GGUF version {}, expected 2 or 3", where_, version);
    }
    n_tensors_ = number<std::uint64_t>("the number of tensors");
    n_values_ = count("the number of metadata values", kMinValueBytes);
    if (n_tensors_ > left() / kMinTensorBytes) {
      fail(ErrorKind::bad_file,
           "{}: the number of tensors is {}, more than the {} bytes left could "
           "hold",
           where_, n_tensors_, left());
    }
  }

  GgufType type_of_value(const std::string& key) {
    const auto type = number<std::uint32_t>("the type of " + quoted(key));
    if (type > static_cast<std::uint32_t>(GgufType::f64)) {
      fail(ErrorKind::bad_file, "{}: {} has the type {}, expected 0 to 12", where_, quoted(key),
           type);
    }
    return static_cast<GgufType>(type);
  }

  void read_value() {
    const std::string key = name("a metadata key");
    GgufValue value{type_of_value(key)};
    if (value.type == GgufType::array) {
      value.is_list = true;
      value.type = type_of_value(key);
      if (value.type == GgufType::array) {
        fail(ErrorKind::unsupported, "{}: {} is a list of lists, expected numbers or texts", where_,
             quoted(key));
      }
      const std::uint64_t least = value.type == GgufType::text ? 8 : size_of(value.type);
      value.count = count("the length of " + quoted(key), least);
    }
    const std::uint64_t begin = at_;
    if (value.type == GgufType::text) {
      const std::string what = "a text of " + quoted(key);
      for (std::uint64_t i = 0; i < value.count; ++i) text(what);
    } else {  // no overflow: the count was compared with what is left
      take(value.count * size_of(value.type), quoted(key));
    }
    value.bytes = file_.subspan(begin, at_ - begin);
    if (!result_.metadata.values_.emplace(key, value).second) {
      fail(ErrorKind::bad_file, "{}: the metadata has {} twice", where_, quoted(key));
    }
  }

  void refuse_split() const {
    const auto n = result_.metadata.integer("split.count", 0, 1 << 16).value_or(0);
    if (n > 1) {
      fail(ErrorKind::unsupported,
           "{}: one of {} parts of a split file; join them first "
           "(llama-gguf-split --merge)",
           where_, n);
    }
  }

  void read_alignment() {
    alignment_ =
        static_cast<std::uint64_t>(result_.metadata.integer("general.alignment", 1, kMaxAlignment)
                                       .value_or(kDefaultAlignment));
    if ((alignment_ & (alignment_ - 1)) != 0) {
      fail(ErrorKind::bad_file, "{}: general.alignment is {}, expected a power of two", where_,
           alignment_);
    }
  }

  Shape read_shape(const std::string& tensor) {
    const auto rank = number<std::uint32_t>("the rank of " + quoted(tensor));
    if (rank < 1 || rank > 4) {
      fail(ErrorKind::bad_file, "{}: tensor {} has {} dimensions, expected 1 to 4", where_,
           quoted(tensor), rank);
    }
    std::vector<std::int64_t> dims(rank);
    for (std::uint32_t i = 0; i < rank; ++i) {
      const auto n = number<std::uint64_t>("the shape of " + quoted(tensor));
      if (n < 1 || n > kMaxDimension) {
        fail(ErrorKind::bad_file, "{}: tensor {} has a dimension of {}, expected 1 to {}", where_,
             quoted(tensor), n, kMaxDimension);
      }
      dims[rank - 1 - i] = static_cast<std::int64_t>(n);
    }
    return Shape(std::span<const std::int64_t>(dims));
  }

  std::uint64_t bytes_of(const std::string& tensor, const Shape& shape, const GgufBlockType& type) {
    const auto width = static_cast<std::uint64_t>(shape[shape.rank() - 1]);
    const auto block = static_cast<std::uint64_t>(type.n_values);
    if (width % block != 0) {
      fail(ErrorKind::bad_file, "{}: tensor {} is {} of {}, whose rows come in blocks of {}",
           where_, quoted(tensor), shape.str(), type.name, block);
    }
    std::uint64_t n = width / block * static_cast<std::uint64_t>(type.n_bytes);
    for (int i = 0; i + 1 < shape.rank(); ++i) {
      const auto rows = static_cast<std::uint64_t>(shape[i]);
      if (n > kMaxTensorBytes / rows) {
        fail(ErrorKind::bad_file, "{}: tensor {} has the impossible shape {}", where_,
             quoted(tensor), shape.str());
      }
      n *= rows;
    }
    return n;
  }

  void read_tensor() {
    const std::string tensor = name("a tensor's name");
    const Shape shape = read_shape(tensor);
    const auto id = number<std::uint32_t>("the type of " + quoted(tensor));
    const GgufBlockType* type = find_gguf_block_type(id);
    if (!type) {
      fail(ErrorKind::bad_file, "{}: tensor {} has the unknown type {}", where_, quoted(tensor),
           id);
    }
    const auto offset = number<std::uint64_t>("the offset of " + quoted(tensor));
    const std::uint64_t n_bytes = bytes_of(tensor, shape, *type);
    if (offset % alignment_ != 0) {
      fail(ErrorKind::bad_file, "{}: tensor {} is at data byte {}, expected a multiple of {}",
           where_, quoted(tensor), offset, alignment_);
    }
    const auto [at, is_new] = result_.tensors.emplace(tensor, GgufTensor{type, shape, {}});
    if (!is_new) fail(ErrorKind::bad_file, "{}: tensor {} is there twice", where_, quoted(tensor));
    if (offset > file_.size() || n_bytes > file_.size() - offset)
      refuse_end(tensor, offset, n_bytes);
    extents_.push_back({offset, offset + n_bytes, &at->first});
  }

  [[noreturn]] void refuse_end(const std::string& tensor, std::uint64_t offset,
                               std::uint64_t n_bytes) const {
    fail(ErrorKind::bad_file,
         "{}: tensor {} takes {} bytes at data byte {}, past the end of the "
         "file; it is truncated",
         where_, quoted(tensor), n_bytes, offset);
  }

  std::uint64_t aligned(std::uint64_t n) const { return (n + alignment_ - 1) & ~(alignment_ - 1); }

  // The tensors must fill the data part, but for the padding: nothing hidden, nothing shared.
  void place_tensors() {
    const std::uint64_t data_begin = std::min<std::uint64_t>(aligned(at_), file_.size());
    const std::uint64_t data_bytes = file_.size() - data_begin;
    std::sort(extents_.begin(), extents_.end(),
              [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
    std::uint64_t position = 0;
    for (const Extent& extent : extents_) {
      if (extent.end > data_bytes) {
        refuse_end(*extent.name, extent.begin, extent.end - extent.begin);
      }
      if (extent.begin != aligned(position)) {
        fail(ErrorKind::bad_file, "{}: tensor {} begins at data byte {}, expected {} ({})", where_,
             quoted(*extent.name), extent.begin, aligned(position),
             extent.begin < position ? "it overlaps another tensor" : "there is a gap before it");
      }
      position = extent.end;
      result_.tensors.at(*extent.name).bytes =
          file_.subspan(data_begin + extent.begin, extent.end - extent.begin);
    }
    if (data_bytes > aligned(position)) {
      fail(ErrorKind::bad_file, "{}: {} bytes follow the last tensor, expected none", where_,
           data_bytes - aligned(position));
    }
  }

  std::span<const std::byte> file_;
  const std::string& where_;
  GgufFile result_;
  std::vector<Extent> extents_;
  std::uint64_t at_ = 0;
  std::uint64_t n_tensors_ = 0, n_values_ = 0;
  std::uint64_t alignment_ = kDefaultAlignment;
};

GgufFile parse_gguf(std::span<const std::byte> file, const std::string& where) {
  return GgufReader(file, where).read();
}

}  // namespace qwenvl
