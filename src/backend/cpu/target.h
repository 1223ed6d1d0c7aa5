// A region of a file compiled for a stated instruction set. Headers are included before it, so only
// our own kernels inside the region ever use those instructions.
#pragma once

#define QWENVL_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define QWENVL_TARGET_BEGIN(isa) \
  QWENVL_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define QWENVL_TARGET_END QWENVL_PRAGMA(clang attribute pop)
#else
#define QWENVL_TARGET_BEGIN(isa) QWENVL_PRAGMA(GCC push_options) QWENVL_PRAGMA(GCC target(isa))
#define QWENVL_TARGET_END QWENVL_PRAGMA(GCC pop_options)
#endif
