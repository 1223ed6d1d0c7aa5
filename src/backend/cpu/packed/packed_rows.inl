// How the kernels without tiles go over packed weights: included inside the region of a kernel
// file, after its
//   template <int kM> void rows_of_panel(const PackedProduct& p, std::int64_t t,
//                                        const std::byte* panel, float* c)
// which multiplies the rows t to t + kM of x, at most four, with one panel.

void multiply(const PackedProduct& p) noexcept {
  constexpr std::int64_t kRows = 4;  // of x at once: all sums stay in registers
  for (std::int64_t i = 0; i < p.n_panels; ++i) {
    const std::byte* panel = p.panels + i * p.panel_bytes;
    for (std::int64_t t = 0; t < p.m; t += kRows) {
      float* c = p.c + i * p.c_panel + t * kPanelRows;
      switch (p.m - t) {
        case 1: rows_of_panel<1>(p, t, panel, c); break;
        case 2: rows_of_panel<2>(p, t, panel, c); break;
        case 3: rows_of_panel<3>(p, t, panel, c); break;
        default: rows_of_panel<kRows>(p, t, panel, c);
      }
    }
  }
}
