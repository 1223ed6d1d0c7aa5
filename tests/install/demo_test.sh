#!/usr/bin/env bash
# Installs the build, moves the installation, and asks the installed program without naming a model:
# the demo model that was installed with it must answer.
#
#   demo_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_dir=$1 build_dir=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build_dir" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"

program=$work/moved/bin/qwenvl
unset QWENVL_MODEL
export HF_HUB_CACHE=$work/cache
"$program" inspect >"$work/inspect" 2>"$work/notice"
grep -q "^folder *$work/moved/share/qwenvl/demo\$" "$work/inspect" ||
  { echo "not the installed demo model:"; cat "$work/inspect"; exit 1; }
grep -q "^demo model:" "$work/notice" || { echo "it does not say which model answers"; exit 1; }
"$program" ask "$source_dir/samples/receipt.png" "Read all the text in the image." >"$work/answer"
[[ -s $work/answer ]] || { echo "no answer"; exit 1; }
