#!/usr/bin/env bash
# Installs what the build needs and this machine lacks. Debian 12 (and relatives with apt-get and
# the same package names); asks for nothing and changes nothing when everything is there.
#
#   tools/setup.sh                    install what is missing
#   tools/setup.sh --with-emulators   also what the tests of other processors' kernels need
#   tools/setup.sh --list             print the packages
set -euo pipefail

packages=(
  make cmake ninja-build g++ git pkg-config python3 ccache
  libfmt-dev nlohmann-json3-dev libcli11-dev
  libjpeg-dev libpng-dev libwebp-dev libgif-dev libtiff-dev
  libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
  librsvg2-dev libcurl4-openssl-dev libutf8proc-dev libxxhash-dev libgtest-dev
)

if [[ ${1:-} == --with-emulators ]]; then
  packages+=(qemu-user g++-aarch64-linux-gnu)
fi

if [[ ${1:-} == --list ]]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  # Another system: the build itself says what it misses, so only warn.
  cat >&2 <<TEXT
setup: this is not a Debian system (no apt-get), so nothing is installed. qwenvl needs, under their
Debian names:
  ${packages[*]}
Install their counterparts with your package manager; then 'cmake --preset release' reports any
that is still missing.
TEXT
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  # Any provider counts: libjpeg-dev, for one, is an empty package that asks for libjpeg62-turbo-dev.
  if [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) != "install ok installed" ]]; then
    missing+=("$package")
  fi
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: missing packages: ${missing[*]}" >&2
    echo "setup: you are not root and there is no sudo; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
         apt-get install --yes --no-install-recommends "${missing[@]}")
# A stale or empty package list is the usual reason for a failure: refresh it once, then insist.
if ! "${install[@]}" >/dev/null 2>&1; then
  "${as_root[@]}" apt-get update
  "${install[@]}"
fi
