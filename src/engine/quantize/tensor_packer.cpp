// Rows of a source → bytes of a file.
#include "engine/quantize/tensor_packer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/quantize/error_feedback.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kPanelsAtOnce = 8;  // of each thread

double total(const std::vector<double>& parts) {
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

}  // namespace

void TensorPacker::write_plain(const PlannedTensor& tensor) {
  const std::int64_t width = tensor.stored->row_width(), n_rows = tensor.stored->n_rows();
  if (width == 0) return;  // there is nothing to write
  const std::int64_t at_once = std::max<std::int64_t>(1, (1 << 20) / width);
  std::vector<float> numbers;
  std::vector<bf16> rounded;
  for (std::int64_t first = 0; first < n_rows; first += at_once) {
    const std::int64_t n = std::min(at_once, n_rows - first);
    numbers.resize(static_cast<std::size_t>(n * width));
    read_finite_rows(tensor, first, n, numbers.data());
    if (tensor.plain_type == DType::bf16) {
      rounded.resize(numbers.size());
      std::transform(numbers.begin(), numbers.end(), rounded.begin(), to_bf16);
      writer_.write(std::as_bytes(std::span(rounded)));
    } else {
      writer_.write(std::as_bytes(std::span(numbers)));
    }
    on_numbers_(n * width);
  }
}

double TensorPacker::write_packed(const PlannedTensor& tensor) {
  const std::int64_t n_out = tensor.stored->shape()[0], n_in = tensor.stored->shape()[1];
  const std::int64_t bytes = panel_bytes(tensor.packing, n_in);
  const std::int64_t at_once = pool_.n_threads() * kPanelsAtOnce;
  std::vector<std::byte> panels(static_cast<std::size_t>(at_once * bytes));
  std::vector<double> errors(static_cast<std::size_t>(n_panels(n_out))), sizes(errors.size());
  std::vector<std::vector<float>> rows(static_cast<std::size_t>(pool_.n_threads()));
  for (std::int64_t first = 0; first < n_panels(n_out); first += at_once) {
    const std::int64_t n = std::min(at_once, n_panels(n_out) - first);
    pool_.parallel_for(n, [&](std::int64_t i, int thread) {
      const std::int64_t row = (first + i) * kPanelRows;
      const std::int64_t n_rows = std::min(kPanelRows, n_out - row);
      std::vector<float>& numbers = rows[static_cast<std::size_t>(thread)];
      numbers.resize(static_cast<std::size_t>(n_rows * n_in));
      const std::size_t at = static_cast<std::size_t>(first + i);
      sizes[at] = read_finite_rows(tensor, row, n_rows, numbers.data());
      errors[at] =
          pack_panel(tensor.packing, numbers.data(), n_rows, n_in, {}, panels.data() + i * bytes);
    });
    writer_.write(std::span(panels).first(static_cast<std::size_t>(n * bytes)));
    on_numbers_(std::min(n * kPanelRows, n_out - first * kPanelRows) * n_in);
  }
  const double size = total(sizes);
  return size > 0 ? std::sqrt(total(errors) / size) : 0;
}

double TensorPacker::write_packed(const PlannedTensor& tensor, Backend& backend,
                                  InputMoment& moment) {
  const std::int64_t n_out = tensor.stored->shape()[0], n_in = tensor.stored->shape()[1];
  std::vector<float> rows(static_cast<std::size_t>(n_out * n_in));
  std::vector<double> errors(static_cast<std::size_t>(n_panels(n_out))), sizes(errors.size());
  const auto of_panel = [&](std::int64_t panel, auto&& use) {
    const std::int64_t first = panel * kPanelRows;
    return use(first, std::min(kPanelRows, n_out - first), rows.data() + first * n_in);
  };
  pool_.parallel_for(n_panels(n_out), [&](std::int64_t panel, int) {
    sizes[static_cast<std::size_t>(panel)] =
        of_panel(panel, [&](std::int64_t first, std::int64_t n, float* numbers) {
          return read_finite_rows(tensor, first, n, numbers);
        });
  });
  std::vector<std::byte> panels(static_cast<std::size_t>(tensor.bytes()));
  pack_with_feedback(backend, tensor.packing, Tensor(rows.data(), DType::f32, {n_out, n_in}),
                     moment, panels);
  pool_.parallel_for(n_panels(n_out), [&](std::int64_t panel, int) {
    errors[static_cast<std::size_t>(panel)] =
        of_panel(panel, [&](std::int64_t, std::int64_t n, const float* missed) {
          return sum_of_squares(missed, n * n_in);
        });
  });
  writer_.write(panels);
  on_numbers_(n_out * n_in);
  const double size = total(sizes);
  return size > 0 ? std::sqrt(total(errors) / size) : 0;
}

}  // namespace qwenvl
