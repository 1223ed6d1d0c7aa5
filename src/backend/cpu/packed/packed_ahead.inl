// Weights fetched ahead while rows go over those before: included inside the region of a kernel
// file.

// Fetches what comes next from memory, a little with every step.
class Ahead {
 public:
  Ahead(const std::byte* next, std::int64_t n_bytes, std::int64_t n_steps)
      : next_(reinterpret_cast<const char*>(next)),
        end_(next_ + n_bytes),
        n_lines_((n_bytes / 64 + n_steps - 1) / n_steps) {}
  inline __attribute__((always_inline)) void fetch() {
    for (std::int64_t i = 0; i < n_lines_ && next_ < end_; ++i, next_ += 64) {
      _mm_prefetch(next_, _MM_HINT_T1);
    }
  }
  // For those who fetch by themselves.
  const char* next() const { return next_; }
  std::int64_t lines_at_once() const { return n_lines_; }
  void move_to(const char* next) { next_ = next; }

 private:
  const char *next_, *end_;
  std::int64_t n_lines_;
};

// What is needed after `bytes` of panel i: the same of the next panel, or more of the first.
inline const std::byte* next_of(const PackedProduct& p, std::int64_t i, const std::byte* piece,
                                std::int64_t bytes) {
  return i + 1 < p.n_panels ? piece + p.panel_bytes : piece + bytes - i * p.panel_bytes;
}
