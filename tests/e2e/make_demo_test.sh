#!/usr/bin/env bash
# What `make demo` runs after the build: it must end well, judge every answer and write the pictures.
#
#   make_demo_test.sh SOURCE_DIR PROGRAM
set -euo pipefail
source_dir=$1 program=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -B "$source_dir/tools/demo/run_demo.py" "$program" --out "$work" >"$work/shown"
grep -q "^[0-3] of 3 answers right" "$work/shown" || { echo "no verdict:"; cat "$work/shown"; exit 1; }
for picture in scene screen; do
  [[ -s $work/$picture.png ]] || { echo "no picture $picture.png"; exit 1; }
done
