#!/usr/bin/env bash
# Installs the build into an empty prefix, builds the example against it with CMake and with
# pkg-config, and runs both programs on the tiny checkpoint: they must agree.
#
#   install_test.sh SOURCE_DIR BUILD_DIR CHECKPOINT COMPILER
set -euo pipefail
source_dir=$1 build_dir=$2 checkpoint=$3 compiler=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build_dir" --prefix "$prefix" >/dev/null
for file in bin/qwenvl include/qwenvl/engine.h include/qwenvl/tools.h include/qwenvl/error.h; do
  [[ -e $prefix/$file ]] || { echo "not installed: $file"; exit 1; }
done
"$prefix/bin/qwenvl" --version

echo "-- CMake: find_package(qwenvl)"
cmake -S "$source_dir/examples" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/cmake" >"$work/log" || { cat "$work/log"; exit 1; }

echo "-- pkg-config"
pc_dir=$(dirname "$(find "$prefix" -name qwenvl.pc)")
flags=$(PKG_CONFIG_PATH=$pc_dir pkg-config --cflags --libs qwenvl)
# shellcheck disable=SC2086  # the flags are meant to be split
"$compiler" -std=c++20 -O1 "$source_dir/examples/minimal.cpp" -o "$work/minimal" $flags \
  -Wl,-rpath,"$(dirname "$pc_dir")"

# A 2 x 2 picture of its own (BMP), so that the test needs nothing but the checkpoint.
printf 'BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >"$work/dot.bmp"
printf '\xff\0\0\0\xff\0\0\0\0\0\xff\xff\xff\xff\0\0' >>"$work/dot.bmp"

echo "-- run"
"$work/cmake/minimal" "$checkpoint" "$work/dot.bmp" "What is this?" >"$work/first"
"$work/minimal" "$checkpoint" "$work/dot.bmp" "What is this?" >"$work/second"
cmp "$work/first" "$work/second" || { echo "the two builds of the example answer differently"; exit 1; }
