#!/usr/bin/env bash
# Compiles the kernels for 64-bit Arm with a cross compiler and runs their products in an emulator.
#
#   arm_products_test.sh SOURCE_DIR COMPILER EMULATOR FMT_INCLUDE_DIR
set -euo pipefail
source_dir=$1 compiler=$2 emulator=$3 fmt_include=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Of the machine's own headers only these: the others belong to another processor.
mkdir "$work/include"
ln -s "$fmt_include/fmt" "$work/include/fmt"

cd "$source_dir"
"$compiler" -std=c++20 -O2 -static -ffp-contract=fast -fno-math-errno -DFMT_HEADER_ONLY \
  -isystem "$work/include" -Iinclude -Isrc -Wall -Wextra -Wno-missing-field-initializers -Werror \
  src/backend/cpu/kernels_neon.cpp src/backend/cpu/kernels_portable.cpp \
  src/backend/cpu/packed/packed_portable.cpp src/backend/cpu/packed/packed_neon_dotprod.cpp \
  src/backend/cpu/packed/packed_neon_i8mm.cpp src/backend/cpu/linear/linear_neon_bf16.cpp \
  src/formats/packed.cpp src/formats/int4_scales.cpp src/core/error.cpp \
  tests/emulated/arm_products.cpp -o "$work/arm_products"
"$emulator" -cpu max "$work/arm_products"
