#!/usr/bin/env bash
# Builds the fuzz targets and runs each for a while: one line per target.
#
#   tests/fuzz/run.sh [SECONDS] [TARGET…]      60 seconds and all targets unless said otherwise
#
# What was found stays in build/fuzz/findings/TARGET, the grown corpus in build/fuzz/corpus/TARGET.
# Exit code 1 when any target found something.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "run.sh: '$seconds' is not a number of seconds" >&2; exit 2; }
shift || true
build=build/fuzz

# Small files of the golden data and the tests that a target can begin with: "TARGET PATTERN…".
seeds() {
  case $1 in
    safetensors_fuzz) find tests/golden -name '*.safetensors' -size -64k 2>/dev/null ;;
    gguf_fuzz) find tests/golden -name '*.gguf' -size -64k 2>/dev/null ;;
    config_fuzz) find tests/golden -name '*config*.json' -size -64k 2>/dev/null ;;
    image_fuzz) find tests/golden tests/media -size -64k \( -name '*.jpg' -o -name '*.jpeg' -o -name '*.png' \
      -o -name '*.webp' -o -name '*.gif' -o -name '*.bmp' -o -name '*.tif' -o -name '*.tiff' \) 2>/dev/null ;;
    video_fuzz) find tests/golden/video/clips -type f -size -8k 2>/dev/null ;;
    tokenizer_fuzz) find tests/golden \( -name 'tokenizer*.json' -o -name '*.txt' \) -size -64k 2>/dev/null ;;
  esac || true
  find "tests/fuzz/seeds/${1%_fuzz}" -type f 2>/dev/null || true
}

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz >/dev/null

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi

failed=0
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target
  findings=$build/findings/$target
  mkdir -p "$corpus" "$findings"
  while IFS= read -r file; do cp "$file" "$corpus/seed_$(sha1sum <"$file" | cut -c1-16)"; done < <(seeds "$target")
  log=$build/$target.log
  dictionary=()
  [ -f "tests/fuzz/seeds/${target%_fuzz}.dict" ] && dictionary=("-dict=tests/fuzz/seeds/${target%_fuzz}.dict")
  status=0
  "$build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$findings/" "${dictionary[@]}" "$corpus" >"$log" 2>&1 || status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
  found=$(find "$findings" -type f | wc -l)
  printf '%-20s %12s runs  %6s edges  %s findings%s\n' "$target" "${runs:-?}" "${coverage:-?}" "$found" \
    "$([ $status -eq 0 ] || echo "  (exit $status, see $log)")"
  if [ "$found" -gt 0 ] || [ $status -ne 0 ]; then failed=1; fi
done
exit $failed
