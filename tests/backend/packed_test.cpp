// Products with quantised weights, for every kernel table: against the reference back end, and bit
// by bit against the portable kernels for every number of rows and threads.
#include "formats/packed.h"

#include <gtest/gtest.h>

#include <limits>

#include "backend_cases.h"

namespace qwenvl::testing {
namespace {

class OnPackedKernels : public OnKernels {};
INSTANTIATE_TEST_SUITE_P(Kernels, OnPackedKernels,
                         ::testing::Range(std::size_t{0}, cpu::kernel_choices().size()),
                         kernel_name);

constexpr Packing kPackings[] = {Packing::int8, Packing::int8_grouped, Packing::int4};

struct PackedCase {
  std::int64_t n_in, n_out, rows;
};

std::vector<PackedCase> packed_cases() {
  std::vector<PackedCase> cases;
  for (const std::int64_t n_in : {1, 31, 64, 127, 128, 129, 300}) {
    for (const std::int64_t n_out : {1, 31, 32, 33, 130}) {
      for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 16, 17, 33}) {
        cases.push_back({n_in, n_out, rows});
      }
    }
  }
  cases.push_back({3420, 70, 3});
  cases.push_back({3420, 70, 40});
  cases.push_back({2300, 40, 530});  // more than are multiplied, or expanded, at a time
  cases.push_back({130, 40, 515});   // in parts of about equal size
  cases.push_back({7200, 33, 140});  // of which fewer rows are taken at a time
  return cases;
}

// A packed matrix in memory of its own, 64-byte aligned.
class PackedMatrix {
 public:
  PackedMatrix(std::mt19937& random, Packing packing, std::int64_t n_out, std::int64_t n_in)
      : bytes_(static_cast<std::size_t>(packed_bytes(packing, n_out, n_in)) + 64) {
    const std::vector<float> rows = random_vector(random, n_out * n_in);
    const auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    std::byte* data = bytes_.data() + (64 - address % 64) % 64;
    for (std::int64_t first = 0; first < n_out; first += kPanelRows) {
      pack_panel(packing, rows.data() + first * n_in, std::min(kPanelRows, n_out - first), n_in, {},
                 data + first / kPanelRows * panel_bytes(packing, n_in));
    }
    weight = Weight(data, packing, n_out, n_in);
  }
  PackedMatrix(const PackedMatrix&) = delete;
  PackedMatrix& operator=(const PackedMatrix&) = delete;

  Weight weight;

 private:
  std::vector<std::byte> bytes_;
};

Numbers product(Backend& backend, const Numbers& x, const PackedMatrix& w,
                std::span<const float> bias) {
  Numbers out(x.tensor().type, x.tensor().rows(), w.weight.n_out, 3);
  backend.linear(x, w.weight, bias, out);
  EXPECT_TRUE(out.gap_is_untouched());
  return out;
}

std::string describe(const PackedCase& c, Packing packing, DType compute) {
  return fmt::format("{} [{}, {}] · [{}, {}] {}", name_of(packing), c.rows, c.n_in, c.n_out, c.n_in,
                     name_of(compute));
}

TEST_P(OnPackedKernels, packed_products_equal_the_reference) {
  for (const PackedCase& c : {PackedCase{1, 1, 1}, {127, 33, 5}, {300, 70, 20}, {1000, 33, 7}}) {
    for (const Packing packing : kPackings) {
      for (const DType compute : kComputeTypes) {
        const PackedMatrix w(random, packing, c.n_out, c.n_in);
        const Numbers x = random_numbers(random, compute, c.rows, c.n_in, 2, 3);
        const std::vector<float> bias = random_vector(random, c.n_out);
        // Integer sums are exact: what differs is a few roundings per block of 128 numbers.
        const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
          return static_cast<double>(c.n_in) * 8 * kHalfUlp + rounding_of(compute, value);
        };
        expect_near(product(*cpu, x, w, bias), product(*reference, x, w, bias), tolerance,
                    describe(c, packing, compute));
      }
    }
  }
}

TEST_P(OnPackedKernels, packed_products_have_the_same_bits_on_every_instruction_set) {
  const auto portable = make_cpu_backend(1, cpu::kernels_portable);
  for (const PackedCase& c : packed_cases()) {
    for (const Packing packing : kPackings) {
      const PackedMatrix w(random, packing, c.n_out, c.n_in);
      for (const DType compute : kComputeTypes) {
        const Numbers x = random_numbers(random, compute, c.rows, c.n_in, 2, 1);
        ASSERT_EQ(bits_of(product(*cpu, x, w, {})), bits_of(product(*portable, x, w, {})))
            << describe(c, packing, compute);
      }
    }
  }
}

TEST_P(OnPackedKernels, products_of_the_same_rows_have_the_bits_of_one_after_the_other) {
  const std::vector<std::vector<Packing>> groups = {
      {Packing::int8, Packing::int8},
      {Packing::int4, Packing::int8_grouped, Packing::int4},
      {Packing::int8, Packing::int4},  // cannot share the bytes of x
  };
  for (const std::vector<Packing>& packings : groups) {
    for (const std::int64_t rows : {1, 5, 40}) {
      const Numbers x = random_numbers(random, DType::bf16, rows, 300);
      std::vector<std::unique_ptr<PackedMatrix>> matrices;
      std::vector<std::vector<float>> biases;
      std::vector<Numbers> outs;
      for (const Packing packing : packings) {
        const std::int64_t n_out = 40 + 100 * static_cast<std::int64_t>(matrices.size());
        matrices.push_back(std::make_unique<PackedMatrix>(random, packing, n_out, 300));
        biases.push_back(random_vector(random, n_out));
        outs.emplace_back(DType::bf16, rows, n_out, 3);
      }
      std::vector<LinearPart> parts;
      for (std::size_t i = 0; i < matrices.size(); ++i) {
        parts.push_back({&matrices[i]->weight, biases[i], outs[i], {}});
      }
      cpu->linears(x.tensor(), parts);
      for (std::size_t i = 0; i < matrices.size(); ++i) {
        EXPECT_EQ(bits_of(outs[i]), bits_of(product(*cpu, x, *matrices[i], biases[i])))
            << name_of(packings[i]) << ", " << rows << " rows";
        EXPECT_TRUE(outs[i].gap_is_untouched());
      }
    }
  }
}

// Norm, feed-forward step and sum, as a decoder layer ends: in place.
TEST_P(OnPackedKernels, rows_normed_and_results_added_have_the_bits_of_the_single_steps) {
  for (const Packing down_packing : kPackings) {
    for (const DType compute : kComputeTypes) {
      for (const PackedCase& c : {PackedCase{300, 70, 1}, {129, 300, 5}, {300, 128, 530}}) {
        const PackedMatrix gate(random, Packing::int4, c.n_out, c.n_in),
            up(random, Packing::int4, c.n_out, c.n_in), down(random, down_packing, c.n_in, c.n_out);
        const std::vector<float> norm = random_vector(random, c.n_in),
                                 bias = random_vector(random, c.n_in);
        const Numbers x = random_numbers(random, compute, c.rows, c.n_in, 2, 1);
        Numbers normed(compute, c.rows, c.n_in, 2), gated(compute, c.rows, c.n_out),
            spare(compute, c.rows, c.n_out);
        cpu->rms_norm(x, norm, 1e-6f, normed);
        cpu->gated_linear(normed.tensor(), {&gate.weight, {}, gated, {}},
                          {&up.weight, {}, spare, {}});
        const Numbers expected = x;
        cpu->add(expected, product(*cpu, gated, down, bias));
        const Numbers got = x;
        Numbers room(compute, c.rows, c.n_in, 2);
        cpu->feed_forward({got, norm, 1e-6f, room}, {&gate.weight, {}, gated, {}},
                          {&up.weight, {}, spare, {}}, {&down.weight, bias, room, got});
        EXPECT_EQ(bits_of(got), bits_of(expected)) << describe(c, down_packing, compute);
        EXPECT_TRUE(got.gap_is_untouched());
      }
    }
  }
}

TEST_P(OnPackedKernels, gated_products_have_the_bits_of_the_single_steps) {
  for (const Packing gate_packing : kPackings) {
    for (const Packing up_packing : kPackings) {
      for (const DType compute : kComputeTypes) {
        for (const PackedCase& c : {PackedCase{300, 70, 1}, {129, 33, 5}, {300, 300, 530}}) {
          const PackedMatrix gate(random, gate_packing, c.n_out, c.n_in),
              up(random, up_packing, c.n_out, c.n_in);
          const std::vector<float> bias = random_vector(random, c.n_out);
          const Numbers x = random_numbers(random, compute, c.rows, c.n_in, 2, 1);
          const Numbers expected = product(*cpu, x, gate, bias);
          cpu->silu_mul(expected, product(*cpu, x, up, {}));
          Numbers got(compute, c.rows, c.n_out, 3), scratch(compute, c.rows, c.n_out);
          cpu->gated_linear(x.tensor(), {&gate.weight, bias, got, {}},
                            {&up.weight, {}, scratch, {}});
          EXPECT_EQ(bits_of(got), bits_of(expected))
              << name_of(up_packing) << ", gate " << describe(c, gate_packing, compute);
          EXPECT_TRUE(got.gap_is_untouched());
        }
      }
    }
  }
}

TEST_P(OnPackedKernels, a_feed_forward_step_has_the_bits_of_its_parts) {
  for (const Packing packing : kPackings) {
    for (const Packing down_packing : kPackings) {
      for (const DType compute : kComputeTypes) {
        for (const PackedCase& c : {PackedCase{300, 70, 1}, {129, 300, 5}, {300, 128, 530}}) {
          const PackedMatrix gate(random, packing, c.n_out, c.n_in),
              up(random, packing, c.n_out, c.n_in), down(random, down_packing, c.n_in, c.n_out);
          const std::vector<float> bias = random_vector(random, c.n_in);
          const Numbers x = random_numbers(random, compute, c.rows, c.n_in, 2, 1);
          Numbers gated(compute, c.rows, c.n_out), spare(compute, c.rows, c.n_out);
          cpu->gated_linear(x.tensor(), {&gate.weight, {}, gated, {}}, {&up.weight, {}, spare, {}});
          const Numbers expected = product(*cpu, gated, down, bias);
          Numbers got(compute, c.rows, c.n_in, 3);
          const bool needs_gated = cpu->needs_gated(gate.weight, up.weight, down.weight);
          EXPECT_EQ(needs_gated, down_packing == Packing::int8);
          const auto out = [&](const Numbers& n) { return needs_gated ? n.tensor() : Tensor(); };
          cpu->feed_forward(x.tensor(), {&gate.weight, {}, out(gated), {}},
                            {&up.weight, {}, out(spare), {}}, {&down.weight, bias, got, {}});
          EXPECT_EQ(bits_of(got), bits_of(expected))
              << name_of(down_packing) << " after " << describe(c, packing, compute);
          EXPECT_TRUE(got.gap_is_untouched());
        }
      }
    }
  }
}

TEST_P(OnPackedKernels, a_packed_row_does_not_depend_on_the_rows_beside_it) {
  for (const Packing packing : kPackings) {
    const PackedMatrix w(random, packing, 100, 700);
    const Numbers x = random_numbers(random, DType::bf16, 40, 700);
    const Numbers all = product(*cpu, x, w, {});
    for (std::int64_t first = 0; first < 40; ++first) {
      for (const std::int64_t n : {1, 2, 3, 4, 5, 8}) {
        if (first + n > 40) continue;
        Numbers some(DType::bf16, n, 100);
        cpu->linear(x.tensor().slice_rows(first, n), w.weight, {}, some);
        ASSERT_EQ(bits_of(some), bits_of(all, first, n))
            << name_of(packing) << ": rows " << first << " to " << first + n;
      }
    }
  }
}

// What quantising leaves: 64 numbers and the next 64 are `step` bytes apart.
struct Quantised {
  Quantised(std::int64_t n, std::int64_t step)
      : q(static_cast<std::size_t>(padded_to_blocks(n) / 64 * step)),
        scales(static_cast<std::size_t>(padded_to_blocks(n) / kBlock)),
        sums(static_cast<std::size_t>(padded_to_blocks(n) / kSubGroup)) {}
  bool operator==(const Quantised&) const = default;

  std::vector<std::int8_t> q;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
};

TEST_P(OnPackedKernels, activations_are_quantised_alike_on_every_instruction_set) {
  const cpu::PackedKernels& kernels = *table().packed;
  for (const std::int64_t n : {1, 15, 16, 17, 31, 33, 63, 65, 128, 129, 500}) {
    for (const float largest : {1.0f, 0.0f, 1e-38f, 1e38f}) {
      for (const bool is_grouped : {false, true}) {
        const std::vector<float> x = random_vector(random, n, largest);
        Quantised got(n, 64), expected(n, 64);
        kernels.quantise(x.data(), n, is_grouped, got.q.data(), got.scales.data(), got.sums.data());
        quantise_activations(x.data(), n, is_grouped, expected.q.data(), expected.scales.data(),
                             expected.sums.data());
        EXPECT_EQ(got, expected) << n << " numbers up to " << largest;
      }
    }
  }
}

TEST_P(OnPackedKernels, activations_in_bf16_are_quantised_as_if_widened) {
  const cpu::PackedKernels& kernels = *table().packed;
  if (!kernels.quantise_bf16) GTEST_SKIP() << "this table widens them";
  for (const std::int64_t n : {1, 15, 16, 17, 31, 33, 63, 65, 128, 129, 500}) {
    for (const float largest : {1.0f, 0.0f, 1e-38f, 1e38f}) {
      for (const bool is_grouped : {false, true}) {
        for (const std::int64_t step : {64, 1024}) {
          std::vector<float> x = random_vector(random, n, largest);
          std::vector<bf16> narrow;
          for (float& number : x)
            narrow.push_back(to_bf16(number)), number = to_float(narrow.back());
          Quantised got(n, step), expected(n, 64), spread(n, step);
          std::vector<std::int32_t> starts(got.scales.size());
          kernels.quantise_bf16(narrow.data(), n, is_grouped, got.q.data(), step, got.scales.data(),
                                got.sums.data(), starts.data());
          quantise_activations(x.data(), n, is_grouped, expected.q.data(), expected.scales.data(),
                               expected.sums.data());
          for (std::size_t i = 0; i < expected.q.size(); ++i) {
            spread.q[i / 64 * static_cast<std::size_t>(step) + i % 64] = expected.q[i];
          }
          spread.scales = expected.scales, spread.sums = expected.sums;
          for (std::size_t i = 0; i < expected.sums.size(); ++i) {
            const std::size_t scale = is_grouped ? i / (kBlock / kSubGroup) : 0;
            starts[scale] += 128 * expected.sums[i];
          }
          if (!is_grouped) got.sums = expected.sums;
          EXPECT_EQ(got, spread) << n << " numbers up to " << largest << ", step " << step;
          EXPECT_EQ(starts, std::vector<std::int32_t>(starts.size())) << "starts lack the sums";
        }
      }
    }
  }
}

TEST_P(OnPackedKernels, what_is_not_finite_reaches_every_product) {
  const PackedMatrix w(random, Packing::int8, 40, 200);
  for (const DType compute : kComputeTypes) {
    for (const float strange :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      Numbers x = random_numbers(random, compute, 2, 200);
      x.set(1, 77, strange);
      const Numbers out = product(*cpu, x, w, {});
      for (std::int64_t n = 0; n < 40; ++n) {
        ASSERT_TRUE(std::isfinite(out.get(0, n))) << "the row beside it, column " << n;
        ASSERT_TRUE(std::isnan(out.get(1, n))) << "column " << n;
      }
    }
  }
}

TEST_P(OnPackedKernels, embeddings_are_read_from_packed_matrices) {
  for (const Packing packing : kPackings) {
    const PackedMatrix w(random, packing, 70, 130);
    const std::vector<std::int32_t> ids = {0, 69, 33, 33};
    Numbers out(DType::f32, 4, 130), expected(DType::f32, 4, 130);
    cpu->embed_rows(w.weight, ids, out);
    reference->embed_rows(w.weight, ids, expected);
    EXPECT_EQ(bits_of(out), bits_of(expected)) << name_of(packing);
  }
}

}  // namespace
}  // namespace qwenvl::testing
