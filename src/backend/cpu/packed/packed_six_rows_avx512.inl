// Six rows of x times blocks of an expanded int4 panel, in assembly: included inside the region of
// a kernel file.
//
// The sums of a block are scaled and added up in registers: twelve integer and twelve float ones.
// Sums of twelve rows would have to be added to memory after each block. In assembly, because with so
// many registers in use g++ 12 moves each sum to another one and back in every step.

constexpr int kRowsOfSix = 6;

struct SixRows {
  const std::int8_t* x;         // the first row's numbers of the first block
  std::int64_t k;               // bytes from one row to the next
  const std::byte* numbers;     // [block][kBlock / 4][32][4], unsigned
  const std::byte* panel;       // as stored: the scales of the first block
  const float* x_scales;        // of the first row and block
  const std::int32_t* starts;   // of the first row and block, as far apart as the scales
  std::int64_t scales_stride;   // bytes from one row to the next
  std::int64_t n_blocks;        // counted down
  const char* next;             // fetched ahead, n_lines with each block; moves on
  std::int64_t n_lines;
  float* c;                     // [6][32]
  std::int64_t is_first;        // whether c holds nothing yet
};

#define QWENVL_START(sum0, sum1, start)                       \
  "vpbroadcastd " start ", %%zmm" sum0 "\n\t"                 \
  "vmovdqa64 %%zmm" sum0 ", %%zmm" sum1 "\n\t"
#define QWENVL_SCALE(sum0, sum1, total0, total1, x_scale)     \
  "vbroadcastss " x_scale ", %%zmm26\n\t"                     \
  "vcvtdq2ps %%zmm" sum0 ", %%zmm" sum0 "\n\t"                \
  "vcvtdq2ps %%zmm" sum1 ", %%zmm" sum1 "\n\t"                \
  "vmulps %%zmm26, %%zmm27, %%zmm29\n\t"                      \
  "vmulps %%zmm26, %%zmm28, %%zmm30\n\t"                      \
  "vfmadd231ps %%zmm29, %%zmm" sum0 ", %%zmm" total0 "\n\t"   \
  "vfmadd231ps %%zmm30, %%zmm" sum1 ", %%zmm" total1 "\n\t"
#define QWENVL_TOTALS(step)                                                              \
  step("12", "0") step("13", "64") step("14", "128") step("15", "192") step("16", "256") \
  step("17", "320") step("18", "384") step("19", "448") step("20", "512")                \
  step("21", "576") step("22", "640") step("23", "704")
#define QWENVL_LOAD(total, at) "vmovaps " at "(%%r13), %%zmm" total "\n\t"
#define QWENVL_CLEAR(total, at) "vpxord %%zmm" total ", %%zmm" total ", %%zmm" total "\n\t"
#define QWENVL_STORE(total, at) "vmovaps %%zmm" total ", " at "(%%r13)\n\t"

// rax, rdx: x of rows 0 and 3 · rsi: numbers · rdi: scales of W · r8, r10: scales of x, rows 0 and 3
// r11, r12: starts, rows 0 and 3 · zmm0-11: sums · zmm12-23: totals · zmm24, 25: 16 rows of W each
__attribute__((noinline)) void six_rows(SixRows& rows) {
  asm volatile(
      "movq %c[x](%[rows]), %%rax\n\t"
      "movq %c[k](%[rows]), %%rcx\n\t"
      "leaq (%%rcx,%%rcx,2), %%rdx\n\t"
      "addq %%rax, %%rdx\n\t"
      "movq %c[numbers](%[rows]), %%rsi\n\t"
      "movq %c[panel](%[rows]), %%rdi\n\t"
      "movq %c[scales](%[rows]), %%r8\n\t"
      "movq %c[starts](%[rows]), %%r11\n\t"
      "movq %c[stride](%[rows]), %%r9\n\t"
      "leaq (%%r9,%%r9,2), %%r10\n\t"
      "leaq (%%r11,%%r10), %%r12\n\t"
      "addq %%r8, %%r10\n\t"
      "movq %c[c](%[rows]), %%r13\n\t"
      "cmpq $0, %c[is_first](%[rows])\n\t"
      "jne 1f\n\t"
      QWENVL_TOTALS(QWENVL_LOAD)
      "jmp 2f\n\t"
      "1:\n\t"
      QWENVL_TOTALS(QWENVL_CLEAR)
      "2:\n\t"  // a block
      "movq %c[n_lines](%[rows]), %%r14\n\t"
      "movq %c[next](%[rows]), %%r15\n\t"
      "testq %%r14, %%r14\n\t"
      "jle 4f\n\t"
      "3:\n\t"
      "prefetcht1 (%%r15)\n\t"
      "addq $64, %%r15\n\t"
      "decq %%r14\n\t"
      "jne 3b\n\t"
      "movq %%r15, %c[next](%[rows])\n\t"
      "4:\n\t"
      QWENVL_START("0", "1", "(%%r11)")
      QWENVL_START("2", "3", "(%%r11,%%r9)")
      QWENVL_START("4", "5", "(%%r11,%%r9,2)")
      QWENVL_START("6", "7", "(%%r12)")
      QWENVL_START("8", "9", "(%%r12,%%r9)")
      QWENVL_START("10", "11", "(%%r12,%%r9,2)")
      "movl %[steps], %%r14d\n\t"
      ".p2align 5\n\t"
      "5:\n\t"  // four numbers
      "vmovdqa64 (%%rsi), %%zmm24\n\t"
      "vmovdqa64 64(%%rsi), %%zmm25\n\t"
      QWENVL_ADD_PRODUCTS("0", "1", "(%%rax)")
      QWENVL_ADD_PRODUCTS("2", "3", "(%%rax,%%rcx)")
      QWENVL_ADD_PRODUCTS("4", "5", "(%%rax,%%rcx,2)")
      QWENVL_ADD_PRODUCTS("6", "7", "(%%rdx)")
      QWENVL_ADD_PRODUCTS("8", "9", "(%%rdx,%%rcx)")
      QWENVL_ADD_PRODUCTS("10", "11", "(%%rdx,%%rcx,2)")
      "addq $4, %%rax\n\t"
      "addq $4, %%rdx\n\t"
      "addq $128, %%rsi\n\t"
      "decl %%r14d\n\t"
      "jne 5b\n\t"
      "vcvtph2ps (%%rdi), %%zmm27\n\t"
      "vcvtph2ps 32(%%rdi), %%zmm28\n\t"
      "addq %[block_bytes], %%rdi\n\t"
      QWENVL_SCALE("0", "1", "12", "13", "(%%r8)")
      QWENVL_SCALE("2", "3", "14", "15", "(%%r8,%%r9)")
      QWENVL_SCALE("4", "5", "16", "17", "(%%r8,%%r9,2)")
      QWENVL_SCALE("6", "7", "18", "19", "(%%r10)")
      QWENVL_SCALE("8", "9", "20", "21", "(%%r10,%%r9)")
      QWENVL_SCALE("10", "11", "22", "23", "(%%r10,%%r9,2)")
      "addq $4, %%r8\n\t"
      "addq $4, %%r10\n\t"
      "addq $4, %%r11\n\t"
      "addq $4, %%r12\n\t"
      "decq %c[n_blocks](%[rows])\n\t"
      "jne 2b\n\t"
      QWENVL_TOTALS(QWENVL_STORE)
      :
      : [rows] "r"(&rows), [x] "i"(offsetof(SixRows, x)), [k] "i"(offsetof(SixRows, k)),
        [numbers] "i"(offsetof(SixRows, numbers)), [panel] "i"(offsetof(SixRows, panel)),
        [scales] "i"(offsetof(SixRows, x_scales)), [starts] "i"(offsetof(SixRows, starts)),
        [stride] "i"(offsetof(SixRows, scales_stride)),
        [n_blocks] "i"(offsetof(SixRows, n_blocks)), [next] "i"(offsetof(SixRows, next)),
        [n_lines] "i"(offsetof(SixRows, n_lines)), [c] "i"(offsetof(SixRows, c)),
        [is_first] "i"(offsetof(SixRows, is_first)), [steps] "i"(kBlock / 4),
        [block_bytes] "i"(kInt4Block)
      : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
        "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",
        "xmm29", "xmm30");
}

#undef QWENVL_START
#undef QWENVL_SCALE
#undef QWENVL_TOTALS
#undef QWENVL_LOAD
#undef QWENVL_CLEAR
#undef QWENVL_STORE
