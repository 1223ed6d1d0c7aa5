// Matrix products of every kernel table: against the reference back end, and bit by bit against
// themselves for other numbers of rows and threads.
#include <gtest/gtest.h>

#include "backend_cases.h"

namespace qwenvl::testing {
namespace {

class OnKernelsLinear : public OnKernels {};
INSTANTIATE_TEST_SUITE_P(Kernels, OnKernelsLinear,
                         ::testing::Range(std::size_t{0}, cpu::kernel_choices().size()),
                         kernel_name);

bool multiplies_bf16(const cpu::KernelTable& table, DType compute, DType format) {
  return table.bf16_linear && compute == DType::bf16 && format == DType::bf16;
}

// Sixteen sums side by side, five additions to join them and the bias; one rounding per product.
// Tables that multiply bf16 as it is add up to all products in one sum, two (of AVX-512), four (of
// Arm) or all by themselves, and round in ways of their own, within one unit each.
double sum_tolerance(const cpu::KernelTable& table, DType compute, DType format,
                     std::int64_t n_in) {
  if (multiplies_bf16(table, compute, format)) return static_cast<double>(2 * n_in + 8) * kHalfUlp;
  return static_cast<double>(n_in / cpu::kLanes + 8) * kHalfUlp;
}

struct LinearCase {
  std::int64_t n_in, n_out, rows;
};

class LinearProblem {
 public:
  LinearProblem(std::mt19937& random, LinearCase c, DType compute, DType format, bool has_bias)
      : x(random_numbers(random, compute, c.rows, c.n_in, 1, 3)),
        w(random_numbers(random, format, c.n_out, c.n_in)),
        bias(has_bias ? random_vector(random, c.n_out) : std::vector<float>{}) {}

  Numbers run(Backend& backend, std::int64_t first, std::int64_t n) const {
    Numbers out(x.tensor().type, n, w.tensor().rows(), 5);
    backend.linear(x.tensor().slice_rows(first, n), Weight(w.tensor()), bias, out);
    EXPECT_TRUE(out.gap_is_untouched());
    return out;
  }
  Numbers run(Backend& backend) const { return run(backend, 0, x.tensor().rows()); }

  // Σ |x| · |w| + |bias|: what the error of a sum is proportional to.
  double magnitude(std::int64_t row, std::int64_t column) const {
    double sum = bias.empty() ? 0 : std::abs(bias[static_cast<std::size_t>(column)]);
    for (std::int64_t k = 0; k < x.tensor().row_width(); ++k) {
      sum += std::abs(double{x.get(row, k)} * w.get(column, k));
    }
    return sum * 1.01;  // weights are rounded to bf16 in a bf16 run
  }

  const Numbers x, w;
  const std::vector<float> bias;
};

std::string describe(const LinearCase& c, DType compute, DType format) {
  return fmt::format("[{}, {}] · [{}, {}] {} {}", c.rows, c.n_in, c.n_out, c.n_in, name_of(compute),
                     name_of(format));
}

std::vector<LinearCase> linear_cases() {
  std::vector<LinearCase> cases;
  for (const std::int64_t n_in : {1, 3, 15, 16, 17, 100}) {
    for (const std::int64_t n_out : {1, 7, 25}) {
      for (std::int64_t rows = 1; rows <= 9; ++rows) cases.push_back({n_in, n_out, rows});
    }
  }
  cases.push_back({17, 211, 2});
  cases.push_back({17, 211, 50});
  cases.push_back({100, 33, 131});
  cases.push_back({3420, 61, 1});
  cases.push_back({3420, 61, 5});
  return cases;
}

TEST_P(OnKernelsLinear, linear_equals_the_reference) {
  for (const LinearCase& c : linear_cases()) {
    for (const DType compute : kComputeTypes) {
      for (const DType format : kWeightFormats) {
        const LinearProblem problem(random, c, compute, format, (c.rows + c.n_out) % 2 == 0);
        const auto tolerance = [&](std::int64_t r, std::int64_t n, double value) {
          return sum_tolerance(table(), compute, format, c.n_in) * problem.magnitude(r, n) +
                 rounding_of(compute, value);
        };
        expect_near(problem.run(*cpu), problem.run(*reference), tolerance,
                    describe(c, compute, format));
      }
    }
  }
}

TEST_P(OnKernelsLinear,
       a_row_of_linear_has_the_same_bits_however_many_rows_and_threads_compute_it) {
  for (const DType compute : kComputeTypes) {
    for (const DType format : kWeightFormats) {
      const LinearProblem problem(random, {100, 40, 200}, compute, format, true);
      const Numbers whole = problem.run(*with_threads(1));
      for (const int n_threads : {1, 2, 3}) {
        const auto backend = with_threads(n_threads);
        for (const std::int64_t n : {1, 2, 3, 4, 7, 50, 200}) {
          for (std::int64_t first = 0; first + n <= 200; first += std::max<std::int64_t>(n, 37)) {
            ASSERT_EQ(bits_of(problem.run(*backend, first, n)), bits_of(whole, first, n))
                << n << " rows from " << first << " on " << n_threads << " threads, "
                << name_of(compute) << " · " << name_of(format);
          }
        }
      }
    }
  }
}

TEST_P(OnKernelsLinear, rows_beyond_one_pass_have_the_same_bits_as_alone) {
  // So wide that 50 rows take two passes, the second with two rows.
  const LinearProblem problem(random, {100000, 3, 50}, DType::bf16, DType::bf16, false);
  const Numbers whole = problem.run(*cpu);
  for (const std::int64_t row : {0, 47, 48, 49}) {
    EXPECT_EQ(bits_of(problem.run(*cpu, row, 1)), bits_of(whole, row, 1)) << "row " << row;
  }
}

TEST_P(OnKernelsLinear, bf16_runs_round_wider_weights_first) {
  // 1 + 2^-9 lies nearer to 1 than to the next bf16, 1 + 2^-7.
  for (const DType format : {DType::f32, DType::f16}) {
    Numbers x(DType::bf16, 1, 16), w(format, 1, 16);
    for (int i = 0; i < 16; ++i) {
      x.set(0, i, i == 0);
      w.set(0, i, 1 + 0x1p-9f);
    }
    for (const std::int64_t rows : {1, 4}) {
      Numbers many(DType::bf16, rows, 16), out(DType::f32, rows, 1);
      for (std::int64_t r = 0; r < rows; ++r) many.set(r, 0, 1);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (int i = 1; i < 16; ++i) many.set(r, i, 0);
      }
      cpu->linear(many, Weight(w.tensor()), {}, out);
      EXPECT_EQ(out.get(0, 0), 1.0f) << name_of(format) << ", " << rows << " rows";
    }
  }
}

TEST_P(OnKernelsLinear, bf16_products_take_denormals_as_they_are_or_for_zeros) {
  // What is lost is less than the smallest normal number for each product; the rest must be exact.
  for (const std::int64_t rows : {1, 4, 9}) {
    Numbers x(DType::bf16, rows, 40), w(DType::bf16, 1, 40), out(DType::bf16, rows, 1);
    for (int i = 0; i < 40; ++i) {
      for (std::int64_t r = 0; r < rows; ++r) x.set(r, i, 1);
      w.set(0, i, i < 20 ? 0x1p-130f : 0x1p-100f);
    }
    cpu->linear(x, Weight(w.tensor()), {}, out);
    for (std::int64_t r = 0; r < rows; ++r) EXPECT_EQ(out.get(r, 0), 20 * 0x1p-100f) << r;
    for (int i = 20; i < 40; ++i) w.set(0, i, 0);
    cpu->linear(x, Weight(w.tensor()), {}, out);
    for (std::int64_t r = 0; r < rows; ++r) {
      EXPECT_TRUE(out.get(r, 0) == 0 || out.get(r, 0) == 20 * 0x1p-130f) << out.get(r, 0);
    }
  }
}

TEST(LinearOnSeveralTables, tables_with_fused_sums_agree_in_every_bit) {
  const auto choices = cpu::kernel_choices();
  std::mt19937 random(5);
  for (const DType compute : kComputeTypes) {
    for (const std::int64_t n_in : {16, 100, 3420}) {
      const LinearProblem problem(random, {n_in, 30, 9}, compute, DType::bf16, true);
      std::string first;
      for (const cpu::KernelChoice& choice : choices) {
        if (!choice.is_usable || std::string(choice.table->name) == "portable") continue;
        if (multiplies_bf16(*choice.table, compute, DType::bf16)) continue;
        const std::string bits = bits_of(problem.run(*make_cpu_backend(1, *choice.table)));
        if (first.empty()) first = bits;
        EXPECT_EQ(bits, first) << choice.table->name << " " << n_in;
      }
    }
  }
}

TEST_P(OnKernelsLinear, gated_products_have_the_bits_of_the_single_steps) {
  for (const DType compute : kComputeTypes) {
    for (const LinearCase& c :
         {LinearCase{96, 70, 1}, {96, 70, 64}, {100, 300, 50}, {128, 33, 131}}) {
      const LinearProblem gate(random, c, compute, DType::bf16, true);
      const Numbers w = random_numbers(random, DType::bf16, c.n_out, c.n_in);
      const Weight up(w.tensor());
      const Numbers expected = gate.run(*cpu);
      Numbers other(compute, c.rows, c.n_out), got(compute, c.rows, c.n_out, 3);
      cpu->linear(gate.x, up, {}, other);
      cpu->silu_mul(expected, other);
      const Weight gate_weight(gate.w.tensor());
      cpu->gated_linear(gate.x.tensor(), {&gate_weight, gate.bias, got, {}}, {&up, {}, other, {}});
      EXPECT_EQ(bits_of(got), bits_of(expected)) << describe(c, compute, DType::bf16);
      EXPECT_TRUE(got.gap_is_untouched());
    }
  }
}

TEST_P(OnKernelsLinear, results_may_be_wider_than_what_is_multiplied) {
  for (const std::int64_t rows : {1, 16, 50}) {
    const Numbers x = random_numbers(random, DType::bf16, rows, 96),
                  w = random_numbers(random, DType::bf16, 40, 96);
    Numbers wide(DType::f32, rows, 40), narrow(DType::bf16, rows, 40);
    cpu->linear(x, Weight(w.tensor()), {}, wide);
    cpu->linear(x, Weight(w.tensor()), {}, narrow);
    for (std::int64_t t = 0; t < rows; ++t) {
      for (std::int64_t i = 0; i < 40; ++i) {
        const float rounded = to_float(to_bf16(static_cast<float>(wide.get(t, i))));
        EXPECT_EQ(rounded, narrow.get(t, i)) << "row " << t << " of " << rows << ", column " << i;
      }
    }
  }
}

}  // namespace
}  // namespace qwenvl::testing
