#!/usr/bin/env bash
# The demonstration: a tiny checkpoint with random weights is written, and a photograph goes through
# the whole engine: decoding, resizing, vision tower, decoder, sampling, streaming.
#
#   tools/demo.sh PROGRAM PHOTO
set -euo pipefail
program=$1
photo=$2
model=build/demo/tiny

[[ -f $photo ]] || { echo "demo: no photograph: '$photo' (pass one with: make demo PHOTO=picture.jpg)" >&2; exit 1; }
[[ -f $model/config.json ]] || python3 tools/make_checkpoint.py --preset tiny "$model"

cat <<TEXT

This demonstration uses a model of Qwen2.5-VL's exact structure, but tiny and with RANDOM weights:
it has learnt nothing, so the text below is noise. What is real is the way it is computed, from the
bytes of $photo to the streamed tokens.

\$ qwenvl ask --model $model $photo "What is this?" --max-new-tokens 24 --greedy --stats

TEXT
"$program" ask --model "$model" "$photo" "What is this?" --max-new-tokens 24 --greedy --stats

cat <<TEXT

For real answers, download the published weights (7.5 GB) once, for example with
  pipx run --spec huggingface_hub hf download Qwen/Qwen2.5-VL-3B-Instruct
and ask:
  $program ask $photo "What is this?"
(qwenvl looks in the Hugging Face cache; --model takes any other folder.)
TEXT
