// Decodes the blocks of GGUF tensors to float32.
// Before: gguf.cpp names the type of a tensor.   After: open.cpp hands out rows.
// Mirrors the block layouts of ggml: what each decodes to is exact in float32 but for the types
// with a minimum, which round once.
#include "checkpoint/gguf/blocks.h"

#include <cstring>

#include "core/numbers.h"

namespace qwenvl {
namespace {

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float half_at(const std::byte* at) { return to_float(load<fp16>(at)); }
int byte_at(const std::byte* at) { return std::to_integer<int>(*at); }
int signed_byte_at(const std::byte* at) { return load<std::int8_t>(at); }
int low(const std::byte* at) { return byte_at(at) & 15; }
int high(const std::byte* at) { return byte_at(at) >> 4; }

// Walks the blocks; `one` decodes one of them.
template <int kValues, int kBytes, class One>
void each_block(const std::byte* blocks, std::int64_t n_blocks, float* out, One&& one) {
  for (std::int64_t b = 0; b < n_blocks; ++b) one(blocks + b * kBytes, out + b * kValues);
}

template <class Stored>
void decode_plain(const std::byte* blocks, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = to_float(load<Stored>(blocks + i * static_cast<std::int64_t>(sizeof(Stored))));
  }
}

// 32 values of 4 bits: the low halves of 16 bytes, then the high halves. Scale d, offset 8.
void decode_q4_0(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<32, 18>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = half_at(block);
    const std::byte* q = block + 2;
    for (int i = 0; i < 16; ++i) {
      y[i] = d * static_cast<float>(low(q + i) - 8);
      y[i + 16] = d * static_cast<float>(high(q + i) - 8);
    }
  });
}

// As Q4_0, with a minimum m instead of the offset.
void decode_q4_1(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<32, 20>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = half_at(block), m = half_at(block + 2);
    const std::byte* q = block + 4;
    for (int i = 0; i < 16; ++i) {
      y[i] = d * static_cast<float>(low(q + i)) + m;
      y[i + 16] = d * static_cast<float>(high(q + i)) + m;
    }
  });
}

// As Q4_0 with a fifth bit each, all 32 in one word before the bytes. Offset 16.
void decode_q5_0(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<32, 22>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = half_at(block);
    const auto fifth = load<std::uint32_t>(block + 2);
    const std::byte* q = block + 6;
    for (int i = 0; i < 16; ++i) {
      const int first = low(q + i) | static_cast<int>(fifth >> i & 1) << 4;
      const int second = high(q + i) | static_cast<int>(fifth >> (i + 16) & 1) << 4;
      y[i] = d * static_cast<float>(first - 16);
      y[i + 16] = d * static_cast<float>(second - 16);
    }
  });
}

void decode_q5_1(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<32, 24>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = half_at(block), m = half_at(block + 2);
    const auto fifth = load<std::uint32_t>(block + 4);
    const std::byte* q = block + 8;
    for (int i = 0; i < 16; ++i) {
      const int first = low(q + i) | static_cast<int>(fifth >> i & 1) << 4;
      const int second = high(q + i) | static_cast<int>(fifth >> (i + 16) & 1) << 4;
      y[i] = d * static_cast<float>(first) + m;
      y[i + 16] = d * static_cast<float>(second) + m;
    }
  });
}

void decode_q8_0(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<32, 34>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = half_at(block);
    for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(signed_byte_at(block + 2 + i));
  });
}

// The K types share one design: 256 values in groups whose scales are integers times one d (and
// whose minima are integers times one dmin).
struct GroupScale {
  int scale, minimum;
};

// Eight pairs of 6 bits in 12 bytes: four pairs in the low 6 bits of bytes 0..7, the rest in bytes
// 8..11 with their top two bits above the first four.
GroupScale group_scale(const std::byte* packed, int group) {
  if (group < 4) return {byte_at(packed + group) & 63, byte_at(packed + group + 4) & 63};
  return {low(packed + group + 4) | byte_at(packed + group - 4) >> 6 << 4,
          high(packed + group + 4) | byte_at(packed + group) >> 6 << 4};
}

// Shared by Q4_K and Q5_K: 8 groups of 32; two groups are the low and the high halves of 32 bytes.
// `fifth_bits` points to 32 bytes whose bit g is the fifth bit of group g, or is null.
void decode_pairs_of_groups(float d, float d_minimum, const std::byte* scales,
                            const std::byte* fifth_bits, const std::byte* q, float* y) {
  for (int group = 0; group < 8; ++group) {
    const GroupScale s = group_scale(scales, group);
    const float scale = d * static_cast<float>(s.scale);
    const float minimum = d_minimum * static_cast<float>(s.minimum);
    const std::byte* bytes = q + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      int value = group % 2 == 0 ? low(bytes + i) : high(bytes + i);
      if (fifth_bits) value |= (byte_at(fifth_bits + i) >> group & 1) << 4;
      y[group * 32 + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

void decode_q4_k(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<256, 144>(blocks, n, out, [](const std::byte* block, float* y) {
    decode_pairs_of_groups(half_at(block), half_at(block + 2), block + 4, nullptr, block + 16, y);
  });
}

void decode_q5_k(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<256, 176>(blocks, n, out, [](const std::byte* block, float* y) {
    decode_pairs_of_groups(half_at(block), half_at(block + 2), block + 4, block + 16, block + 48,
                           y);
  });
}

// Two halves of 128: each has 64 bytes of low halves, 32 bytes of upper pairs of bits, and 8 signed
// scales for 16 values. Quarter k of a half takes the low or high halves of 32 bytes, and bits 2k.
void decode_q6_k(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<256, 210>(blocks, n, out, [](const std::byte* block, float* y) {
    const std::byte *lower = block, *upper = block + 128, *scales = block + 192;
    const float d = half_at(block + 208);
    for (int half = 0; half < 2; ++half, lower += 64, upper += 32, scales += 8, y += 128) {
      for (int quarter = 0; quarter < 4; ++quarter) {
        const std::byte* bytes = lower + quarter % 2 * 32;
        for (int i = 0; i < 32; ++i) {
          const int four = quarter < 2 ? low(bytes + i) : high(bytes + i);
          const int two = byte_at(upper + i) >> 2 * quarter & 3;
          const float scale = d * static_cast<float>(signed_byte_at(scales + 2 * quarter + i / 16));
          y[quarter * 32 + i] = scale * static_cast<float>((four | two << 4) - 32);
        }
      }
    }
  });
}

// The sums after the values serve products only.
void decode_q8_k(const std::byte* blocks, std::int64_t n, float* out) {
  each_block<256, 292>(blocks, n, out, [](const std::byte* block, float* y) {
    const float d = load<float>(block);
    for (int i = 0; i < 256; ++i) y[i] = d * static_cast<float>(signed_byte_at(block + 4 + i));
  });
}

constexpr GgufBlockType kTypes[] = {
    {0, "F32", 1, 4, decode_plain<float>},
    {1, "F16", 1, 2, decode_plain<fp16>},
    {2, "Q4_0", 32, 18, decode_q4_0},
    {3, "Q4_1", 32, 20, decode_q4_1},
    {6, "Q5_0", 32, 22, decode_q5_0},
    {7, "Q5_1", 32, 24, decode_q5_1},
    {8, "Q8_0", 32, 34, decode_q8_0},
    {9, "Q8_1", 32, 40, nullptr},
    {10, "Q2_K", 256, 84, nullptr},
    {11, "Q3_K", 256, 110, nullptr},
    {12, "Q4_K", 256, 144, decode_q4_k},
    {13, "Q5_K", 256, 176, decode_q5_k},
    {14, "Q6_K", 256, 210, decode_q6_k},
    {15, "Q8_K", 256, 292, decode_q8_k},
    {16, "IQ2_XXS", 256, 66, nullptr},
    {17, "IQ2_XS", 256, 74, nullptr},
    {18, "IQ3_XXS", 256, 98, nullptr},
    {19, "IQ1_S", 256, 50, nullptr},
    {20, "IQ4_NL", 32, 18, nullptr},
    {21, "IQ3_S", 256, 110, nullptr},
    {22, "IQ2_S", 256, 82, nullptr},
    {23, "IQ4_XS", 256, 136, nullptr},
    {24, "I8", 1, 1, nullptr},
    {25, "I16", 1, 2, nullptr},
    {26, "I32", 1, 4, nullptr},
    {27, "I64", 1, 8, nullptr},
    {28, "F64", 1, 8, nullptr},
    {29, "IQ1_M", 256, 56, nullptr},
    {30, "BF16", 1, 2, decode_plain<bf16>},
    {34, "TQ1_0", 256, 54, nullptr},
    {35, "TQ2_0", 256, 66, nullptr},
    {39, "MXFP4", 32, 17, nullptr},
    {40, "NVFP4", 64, 36, nullptr},
    {41, "Q1_0", 128, 18, nullptr},
};

}  // namespace

const GgufBlockType* find_gguf_block_type(std::uint32_t id) {
  for (const GgufBlockType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

}  // namespace qwenvl
