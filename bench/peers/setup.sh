#!/usr/bin/env bash
# Installs the peers, with pinned versions, into a virtual environment of their own.
#
#   bench/peers/setup.sh [FOLDER]      unset: build/peers
#
# llama.cpp is compiled here, for this processor (GGML_NATIVE): its prebuilt packages leave out the
# instructions it is fastest with. By clang, because g++ 12 drops half of the tile configuration its
# AMX kernels load, and they end in a crash. Takes 5 GB of disk and, on two cores, half an hour.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../build/peers}

python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --upgrade pip
# A package built for another processor must not come from a cache.
CC=clang CXX=clang++ CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF" \
  "$folder/bin/pip" install --no-cache-dir --no-binary llama-cpp-python \
  --requirement "$here/requirements.txt"
echo "setup: ready; next: $folder/bin/python $here/run.py make MODEL FILES"
