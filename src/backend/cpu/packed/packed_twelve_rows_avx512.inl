// Twelve rows of x times an int8 panel, in assembly: included inside the region of a kernel file.
//
// As many sums as hide the latency of a product, and few enough steps besides multiplying that the
// next rows' products begin before the last results are stored.

struct TwelveRows {
  const std::int8_t* x;        // the first row
  std::int64_t k;              // bytes from one row to the next
  const std::byte* numbers;    // [n_fours][32][4], unsigned
  std::int64_t n_fours;        // four numbers of each row at a time
  const float* scales;         // [32], of W
  const float* x_scales;       // [12]
  const std::int32_t* starts;  // [12]
  float* c;                    // [12][32]
};

#define QWENVL_START(sum0, sum1, at)                         \
  "vpbroadcastd " at "(%%r8), %%zmm" sum0 "\n\t"             \
  "vmovdqa64 %%zmm" sum0 ", %%zmm" sum1 "\n\t"
#define QWENVL_STEP(at, w0, w1)                              \
  "vmovdqa64 " w0 "(%%rsi), %%zmm24\n\t"                     \
  "vmovdqa64 " w1 "(%%rsi), %%zmm25\n\t"                     \
  QWENVL_ADD_PRODUCTS("0", "1", at "(%%rax)")                \
  QWENVL_ADD_PRODUCTS("2", "3", at "(%%rax,%%rcx)")          \
  QWENVL_ADD_PRODUCTS("4", "5", at "(%%rax,%%rcx,2)")        \
  QWENVL_ADD_PRODUCTS("6", "7", at "(%%rdx)")                \
  QWENVL_ADD_PRODUCTS("8", "9", at "(%%rdx,%%rcx)")          \
  QWENVL_ADD_PRODUCTS("10", "11", at "(%%rdx,%%rcx,2)")      \
  QWENVL_ADD_PRODUCTS("12", "13", at "(%%r10)")              \
  QWENVL_ADD_PRODUCTS("14", "15", at "(%%r10,%%rcx)")        \
  QWENVL_ADD_PRODUCTS("16", "17", at "(%%r10,%%rcx,2)")      \
  QWENVL_ADD_PRODUCTS("18", "19", at "(%%r11)")              \
  QWENVL_ADD_PRODUCTS("20", "21", at "(%%r11,%%rcx)")        \
  QWENVL_ADD_PRODUCTS("22", "23", at "(%%r11,%%rcx,2)")
// 0 + sums · (scales of W · scale of x), as add_scaled forms it, stored.
#define QWENVL_STORE(sum0, sum1, x_scale, c0, c1)            \
  "vbroadcastss " x_scale "(%%r9), %%zmm26\n\t"              \
  "vcvtdq2ps %%zmm" sum0 ", %%zmm" sum0 "\n\t"               \
  "vcvtdq2ps %%zmm" sum1 ", %%zmm" sum1 "\n\t"               \
  "vmulps %%zmm26, %%zmm27, %%zmm29\n\t"                     \
  "vmulps %%zmm26, %%zmm28, %%zmm30\n\t"                     \
  "vfmadd213ps %%zmm31, %%zmm29, %%zmm" sum0 "\n\t"          \
  "vfmadd213ps %%zmm31, %%zmm30, %%zmm" sum1 "\n\t"          \
  "vmovaps %%zmm" sum0 ", " c0 "(%%rdi)\n\t"                 \
  "vmovaps %%zmm" sum1 ", " c1 "(%%rdi)\n\t"

// rax, rdx, r10, r11: x of rows 0, 3, 6, 9 · rsi: numbers · rdi: c · r8: starts, then scales of W
// r9: scales of x · zmm0-23: sums · zmm24, 25: 16 rows of W each
__attribute__((noinline)) void twelve_rows(const TwelveRows& rows) {
  asm volatile(
      "movq %c[starts](%[rows]), %%r8\n\t"
      QWENVL_START("0", "1", "0")
      QWENVL_START("2", "3", "4")
      QWENVL_START("4", "5", "8")
      QWENVL_START("6", "7", "12")
      QWENVL_START("8", "9", "16")
      QWENVL_START("10", "11", "20")
      QWENVL_START("12", "13", "24")
      QWENVL_START("14", "15", "28")
      QWENVL_START("16", "17", "32")
      QWENVL_START("18", "19", "36")
      QWENVL_START("20", "21", "40")
      QWENVL_START("22", "23", "44")
      "movq %c[x](%[rows]), %%rax\n\t"
      "movq %c[k](%[rows]), %%rcx\n\t"
      "leaq (%%rcx,%%rcx,2), %%r9\n\t"
      "leaq (%%rax,%%r9), %%rdx\n\t"
      "leaq (%%rdx,%%r9), %%r10\n\t"
      "leaq (%%r10,%%r9), %%r11\n\t"
      "movq %c[numbers](%[rows]), %%rsi\n\t"
      "movq %c[n_fours](%[rows]), %%r12\n\t"
      "movq %c[scales](%[rows]), %%r8\n\t"
      "movq %c[x_scales](%[rows]), %%r9\n\t"
      "movq %c[c](%[rows]), %%rdi\n\t"
      "subq $2, %%r12\n\t"
      "jl 2f\n\t"
      ".p2align 5\n\t"
      "1:\n\t"
      QWENVL_STEP("0", "0", "64")
      QWENVL_STEP("4", "128", "192")
      "addq $8, %%rax\n\t"
      "addq $8, %%rdx\n\t"
      "addq $8, %%r10\n\t"
      "addq $8, %%r11\n\t"
      "addq $256, %%rsi\n\t"
      "subq $2, %%r12\n\t"
      "jge 1b\n\t"
      "2:\n\t"
      "addq $2, %%r12\n\t"
      "je 3f\n\t"
      QWENVL_STEP("0", "0", "64")
      "3:\n\t"
      "vmovaps (%%r8), %%zmm27\n\t"
      "vmovaps 64(%%r8), %%zmm28\n\t"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n\t"
      QWENVL_STORE("0", "1", "0", "0", "64")
      QWENVL_STORE("2", "3", "4", "128", "192")
      QWENVL_STORE("4", "5", "8", "256", "320")
      QWENVL_STORE("6", "7", "12", "384", "448")
      QWENVL_STORE("8", "9", "16", "512", "576")
      QWENVL_STORE("10", "11", "20", "640", "704")
      QWENVL_STORE("12", "13", "24", "768", "832")
      QWENVL_STORE("14", "15", "28", "896", "960")
      QWENVL_STORE("16", "17", "32", "1024", "1088")
      QWENVL_STORE("18", "19", "36", "1152", "1216")
      QWENVL_STORE("20", "21", "40", "1280", "1344")
      QWENVL_STORE("22", "23", "44", "1408", "1472")
      :
      : [rows] "r"(&rows), [x] "i"(offsetof(TwelveRows, x)), [k] "i"(offsetof(TwelveRows, k)),
        [numbers] "i"(offsetof(TwelveRows, numbers)), [n_fours] "i"(offsetof(TwelveRows, n_fours)),
        [scales] "i"(offsetof(TwelveRows, scales)), [x_scales] "i"(offsetof(TwelveRows, x_scales)),
        [starts] "i"(offsetof(TwelveRows, starts)), [c] "i"(offsetof(TwelveRows, c))
      : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "cc", "memory", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",
        "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

#undef QWENVL_START
#undef QWENVL_STEP
#undef QWENVL_STORE
