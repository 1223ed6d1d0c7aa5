#!/usr/bin/env bash
# Builds the libFuzzer programs and runs each for so many seconds; a finding ends the run with its
# input kept in build/fuzz/findings. Starts from the folder that a "// Seeds: FOLDER" line of the
# program's source names, and keeps what it learns in build/fuzz/corpus/<name>/.
#
#   tests/fuzz/run.sh [SECONDS each, 60] [NAME, e.g. image_fuzz; all when absent]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
only=${2:-}

command -v clang++ >/dev/null || { echo "fuzz: needs clang (Debian: apt-get install clang)" >&2; exit 1; }
cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz -j "$(nproc)" --target fuzzers

mkdir -p build/fuzz/findings
n_run=0
for source in tests/fuzz/*_fuzz.cpp; do
  name=$(basename "$source" .cpp)
  [[ -f $source && ( -z $only || $name == "$only" ) ]] || continue
  corpus=build/fuzz/corpus/$name
  mkdir -p "$corpus"
  folders=("$corpus")
  seeds=$(sed -n 's|^// Seeds: \([A-Za-z0-9_/-]*\).*|\1|p' "$source" | head -n 1)
  [[ -n $seeds ]] && folders+=("$seeds")
  echo "fuzz: $name for $seconds s"
  # An input that takes 10 s or 1 GiB is a finding, too: foreign bytes must never hang or exhaust us.
  "build/fuzz/bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/findings/$name-" "${folders[@]}"
  n_run=$((n_run + 1))
done
[[ $n_run -gt 0 ]] || { echo "fuzz: no program named '$only'" >&2; exit 1; }
echo "fuzz: $n_run programs, no findings"
