// Packing: what is read back, how large the error is, and that no byte is left to chance.
#include "formats/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace qwenvl {
namespace {

constexpr Packing kPackings[] = {Packing::int8, Packing::int8_grouped, Packing::int4};

std::vector<float> normal_numbers(std::int64_t n, float deviation) {
  std::mt19937 random(7);
  std::normal_distribution<float> value(0, deviation);
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& x : out) x = value(random);
  return out;
}

std::vector<std::byte> packed(Packing packing, const std::vector<float>& rows, std::int64_t n_in,
                              std::span<const float> importance = {}) {
  const std::int64_t n_out = static_cast<std::int64_t>(rows.size()) / n_in;
  std::vector<std::byte> out(static_cast<std::size_t>(packed_bytes(packing, n_out, n_in)),
                             std::byte{0xcd});
  for (std::int64_t first = 0; first < n_out; first += kPanelRows) {
    pack_panel(packing, rows.data() + first * n_in, std::min(kPanelRows, n_out - first), n_in,
               importance, out.data() + first / kPanelRows * panel_bytes(packing, n_in));
  }
  return out;
}

std::vector<float> unpacked(Packing packing, const std::vector<std::byte>& bytes,
                            std::int64_t n_out, std::int64_t n_in) {
  std::vector<float> out(static_cast<std::size_t>(n_out * n_in));
  const Weight w(bytes.data(), packing, n_out, n_in);
  for (std::int64_t i = 0; i < n_out; ++i) unpack_row(w, i, out.data() + i * n_in);
  return out;
}

double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
    size += double{expected[i]} * expected[i];
  }
  return std::sqrt(error / size);
}

TEST(Packed, int8_is_within_half_a_step_of_the_largest_number) {
  const std::vector<float> rows = normal_numbers(40 * 300, 0.02f);
  const std::vector<float> got = unpacked(Packing::int8, packed(Packing::int8, rows, 300), 40, 300);
  for (std::int64_t r = 0; r < 40; ++r) {
    float largest = 0;
    for (std::int64_t i = 0; i < 300; ++i) largest = std::max(largest, std::abs(rows[r * 300 + i]));
    for (std::int64_t i = 0; i < 300; ++i) {
      ASSERT_NEAR(got[r * 300 + i], rows[r * 300 + i], largest / 127 * 0.5001f) << r << ", " << i;
    }
  }
}

TEST(Packed, int4_of_normal_numbers_misses_less_than_nine_percent) {
  const std::vector<float> rows = normal_numbers(64 * 1024, 0.02f);
  EXPECT_LT(
      relative_error(unpacked(Packing::int4, packed(Packing::int4, rows, 1024), 64, 1024), rows),
      0.085);
}

TEST(Packed, int4_takes_four_and_a_quarter_bits_per_number) {
  EXPECT_EQ(packed_bytes(Packing::int4, 2048, 2048) * 8.0 / (2048 * 2048), 4.25);
}

TEST(Packed, numbers_that_int4_can_hold_come_back_exactly) {
  // One scale of 1 and sub-scales of 1: codes from -8 to 7.
  std::vector<float> rows(32 * 128);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i % 16) - 8.0f;
  EXPECT_EQ(unpacked(Packing::int4, packed(Packing::int4, rows, 128), 32, 128), rows);
}

TEST(Packed, zeros_stay_zeros) {
  const std::vector<float> rows(33 * 200, 0.0f);
  for (const Packing packing : kPackings) {
    EXPECT_EQ(unpacked(packing, packed(packing, rows, 200), 33, 200), rows) << name_of(packing);
  }
}

TEST(Packed, every_byte_is_written) {
  const std::vector<float> rows = normal_numbers(33 * 130, 1);
  for (const Packing packing : kPackings) {
    std::vector<std::byte> again(static_cast<std::size_t>(packed_bytes(packing, 33, 130)),
                                 std::byte{0x33});
    for (std::int64_t first = 0; first < 33; first += kPanelRows) {
      pack_panel(packing, rows.data() + first * 130, std::min<std::int64_t>(32, 33 - first), 130,
                 {}, again.data() + first / kPanelRows * panel_bytes(packing, 130));
    }
    EXPECT_EQ(again, packed(packing, rows, 130)) << name_of(packing);
  }
}

TEST(Packed, important_numbers_are_kept_better) {
  const std::vector<float> rows = normal_numbers(32 * 512, 1);
  std::vector<float> importance(512, 1.0f);
  for (std::size_t i = 0; i < importance.size(); i += 8) importance[i] = 100;
  const auto error_of = [&](const std::vector<float>& got) {
    double error = 0;
    for (std::size_t i = 0; i < got.size(); i += 8) {
      error += (double{got[i]} - rows[i]) * (double{got[i]} - rows[i]);
    }
    return error;
  };
  const auto plain = unpacked(Packing::int4, packed(Packing::int4, rows, 512), 32, 512);
  const auto weighed =
      unpacked(Packing::int4, packed(Packing::int4, rows, 512, importance), 32, 512);
  EXPECT_LT(error_of(weighed), 0.8 * error_of(plain));
}

TEST(Packed, sizes_count_whole_panels_and_blocks) {
  EXPECT_EQ(n_panels(3420), 107);
  EXPECT_EQ(padded_to_blocks(3420), 3456);
  EXPECT_EQ(panel_bytes(Packing::int8, 3420), 128 + 3456 * 32);
  EXPECT_EQ(panel_bytes(Packing::int4, 3420), 27 * 2176);
}

TEST(Packed, names_are_read_back) {
  for (const Packing packing : kPackings) EXPECT_EQ(packing_named(name_of(packing)), packing);
  EXPECT_EQ(packing_named("int3"), std::nullopt);
  EXPECT_EQ(packing_named("none"), std::nullopt);
}

TEST(Packed, blocks_without_feedback_are_the_bytes_of_whole_panels) {
  constexpr std::int64_t kIn = 300, kOut = 40;
  std::vector<float> importance(kBlock), zeros(kBlock * kBlock, 0.0f);
  std::fill(importance.begin(), importance.end(), 1.0f);
  for (const Packing packing : kPackings) {
    std::vector<float> rows = normal_numbers(kOut * kIn, 0.02f);
    const std::vector<std::byte> expected = packed(packing, rows, kIn);
    std::vector<std::byte> got(expected.size(), std::byte{0xcd});
    const std::vector<float> before = rows;
    for (std::int64_t row = 0; row < kOut; ++row) {
      std::byte* panel = got.data() + row / kPanelRows * panel_bytes(packing, kIn);
      if (row % kPanelRows == 0) {
        begin_panel(packing, rows.data() + row * kIn, std::min(kPanelRows, kOut - row), kIn, panel);
      }
      for (std::int64_t first = 0; first < kIn; first += kBlock) {
        const std::size_t n = static_cast<std::size_t>(std::min(kBlock, kIn - first));
        pack_block(packing, row % kPanelRows, first, std::span(rows.data() + row * kIn + first, n),
                   std::span(zeros).first(n),
                   {std::span(importance).first(n), std::span(zeros).first(n * n)}, panel);
      }
    }
    EXPECT_EQ(got, expected) << name_of(packing);
    const std::vector<float> rounded = unpacked(packing, got, kOut, kIn);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_FLOAT_EQ(rows[i], before[i] - rounded[i]) << "what is left is what was missed";
    }
  }
}

}  // namespace
}  // namespace qwenvl
