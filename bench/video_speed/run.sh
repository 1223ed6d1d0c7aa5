#!/bin/sh
# Makes a minute of 1080p H.264 and measures what the analysing pass costs beside decoding it.
# Usage: run.sh PROGRAM [ROUNDS]   (PROGRAM: build/release/bench/video_speed/video_speed)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ffmpeg -v error -f lavfi -i testsrc2=s=1920x1080:r=30:d=60 -vf noise=alls=4:allf=t \
  -c:v libx264 -preset veryfast -pix_fmt yuv420p "$folder/clip.mp4"
"$1" "$folder/clip.mp4" "${2:-3}"
