#!/bin/sh
# Makes the golden data under tests/golden anew, in a virtual environment of pinned versions.
#
#     tools/golden/regenerate.sh FOLDER
#
# FOLDER holds the published tokenizer.json, tokenizer_config.json and chat_template.json. The
# environment is .venv in the repository root; it is created on the first run.
set -eu

if [ $# -ne 1 ] || [ ! -f "$1/tokenizer.json" ]; then
    echo "usage: tools/golden/regenerate.sh FOLDER (with the published tokenizer.json)" >&2
    exit 2
fi
data=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."

if [ ! -x .venv/bin/python ]; then
    python3 -m venv .venv
    .venv/bin/pip install --quiet --requirement tools/golden/requirements.txt
fi
export HF_HUB_OFFLINE=1
.venv/bin/python tools/golden/make_text_golden.py --data "$data"
.venv/bin/python tools/golden/make_image_golden.py
for preset in tiny tiny-untied; do
    folder=tests/golden/checkpoints/$(echo "$preset" | tr - _)
    .venv/bin/python tools/make_checkpoint.py --preset "$preset" "$folder"
done
.venv/bin/python tools/golden/make_model_golden.py
.venv/bin/python tools/golden/make_foreign_golden.py
.venv/bin/python tools/golden/make_video_golden.py
