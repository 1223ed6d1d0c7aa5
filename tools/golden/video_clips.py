"""Draws and encodes the clips of tests/golden/video/clips: the same bytes on every machine.

PyAV brings the encoders, in a pinned version; each runs in one thread. What no encoder writes (a
display matrix, a file without timestamps) is patched in afterwards. Clips are tiny: what matters
is how frames are timed, ordered and stored.
"""

import struct
from fractions import Fraction

import av
import numpy
from PIL import Image

EXACT = {"fflags": "+bitexact"}
X264 = {"threads": "1", "preset": "veryslow", "x264-params": "threads=1", "crf": "30"}
X265 = "pools=1:frame-threads=1:log-level=error:info=0"


# ---- pictures --------------------------------------------------------------------------------


def moving(k, width, height):
    """A disc that crosses a gradient; its place and colour tell frames apart."""
    y, x = numpy.meshgrid(numpy.arange(height), numpy.arange(width), indexing="ij")
    disc = (x - 5 * k % width) ** 2 + (y - height // 2 - 3 * (k % 5)) ** 2 < height * height // 16
    background = numpy.stack([200 * x // width, 200 * y // height, 60 + 0 * x], -1)
    return numpy.where(disc[..., None], [250, (37 * k) % 256, 30], background)


def still(k, width, height):
    """Nothing happens, but for a bar that jumps every 500 frames."""
    y, x = numpy.meshgrid(numpy.arange(height), numpy.arange(width), indexing="ij")
    bar = (x // 4) % 8 == (k // 500) % 8
    return numpy.stack([255 * bar, 255 - 255 * bar, 80 + 0 * y], -1)


# ---- encoding --------------------------------------------------------------------------------


def write(
    path,
    times,
    codec="libx264",
    size=(64, 48),
    rate=25,
    base=None,
    pixels="yuv420p",
    draw=moving,
    options=None,
    container=None,
    tags=None,
    sound=False,
    format=None,
):
    """Encodes one frame for each of `times` (in units of `base`, seconds)."""
    base = base or Fraction(1) / Fraction(rate)
    file = av.open(str(path), "w", format=format, options={**EXACT, **(container or {})})
    stream = file.add_stream(
        codec,
        rate=Fraction(rate),
        options={
            "flags": "+bitexact",
            **(X264 if codec == "libx264" else {"threads": "1"}),
            **(options or {}),
        },
    )
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    stream.codec_context.time_base = base
    stream.time_base = base
    for name, value in (tags or {}).items():
        setattr(stream.codec_context, name, value)
    beep = file.add_stream("aac", rate=8000, options=EXACT) if sound else None
    for k, time in enumerate(times):
        picture = draw(k, *size).astype(numpy.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
        frame.pts, frame.time_base = time, base
        if tags:
            frame.colorspace = tags.get("colorspace", frame.colorspace)
            frame.color_range = tags.get("color_range", frame.color_range)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
    if beep:
        write_sound(file, beep, seconds=len(times) * base)
    file.close()


def write_sound(file, stream, seconds):
    samples = int(8000 * seconds)
    wave = numpy.sin(numpy.arange(samples) * 0.3).astype(numpy.float32)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 8000, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def webp_animation(path):
    """Uneven durations; parts of the canvas change and some of it is transparent."""
    frames = []
    for k in range(9):
        picture = Image.fromarray(moving(k, 48, 36).astype(numpy.uint8)).convert("RGBA")
        picture.putalpha(Image.new("L", picture.size, 255 if k % 3 else 200))
        frames.append(picture)
    durations = [40 + 20 * (k % 4) for k in range(9)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, lossless=True)


def only_sound(path):
    file = av.open(str(path), "w", options=EXACT)
    write_sound(file, file.add_stream("aac", rate=8000, options=EXACT), seconds=1)
    file.close()


def turn(path, degrees):
    """Writes the display matrix of a clockwise turn into the track's header."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    one = 1 << 16
    struct.pack_into(">9i", data, at, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


# ---- the clips -------------------------------------------------------------------------------

RATES = {  # name: (rate, frames)
    "fps_1": ("1", 12), "fps_2": ("2", 11), "fps_5": ("5", 20), "fps_7_5": ("15/2", 23),
    "fps_10": ("10", 33), "fps_12_5": ("25/2", 40), "fps_15": ("15", 50),
    "fps_23_976": ("24000/1001", 60), "fps_24": ("24", 49), "fps_25": ("25", 75),
    "fps_29_97": ("30000/1001", 91), "fps_30": ("30", 90), "fps_48": ("48", 100),
    "fps_50": ("50", 120), "fps_59_94": ("60000/1001", 121), "fps_60": ("60", 150),
}  # fmt: skip


def irregular(n, step, seed):
    """Times with gaps between 1 and 2·step − 1 units."""
    times, state = [0], seed
    for _ in range(n - 1):
        state = (state * 1103515245 + 12345) % 2**31
        times.append(times[-1] + 1 + (state >> 16) % (2 * step - 1))
    return times


def make_rates(folder):
    for name, (rate, count) in RATES.items():
        write(folder / f"{name}.mp4", range(count), rate=rate)


def make_times(folder):
    ms = Fraction(1, 1000)
    write(folder / "vfr.mp4", irregular(60, 40, 1), rate=25, base=ms)
    write(folder / "vfr.mkv", irregular(48, 70, 2), rate=15, base=ms)
    write(folder / "vfr_gap.mp4", [*range(20), *range(200, 220)], rate=20)
    write(folder / "one_frame.mp4", range(1))
    write(folder / "two_frames.mp4", range(2))
    write(folder / "three_frames.mp4", range(3))
    write(folder / "twenty_minutes.mp4", range(6000), rate=5, size=(32, 32), draw=still,
          options={"g": "600", "bf": "0", "crf": "40", "preset": "fast"})  # fmt: skip
    write(folder / "ten_minutes.mkv", range(6000), rate=10, size=(32, 32), draw=still,
          options={"g": "1000", "bf": "0", "crf": "40", "preset": "fast"})  # fmt: skip
    write(folder / "starts_late.mkv", range(50, 90), rate=20)
    write(folder / "starts_early.mp4", range(-10, 30), rate=20,
          container={"avoid_negative_ts": "disabled", "use_editlist": "0"})  # fmt: skip
    write(folder / "negative.mkv", range(-10, 30), rate=20, options={"bf": "0"},
          container={"avoid_negative_ts": "disabled"})  # fmt: skip
    write(folder / "edit_list.mp4", range(-9, 40), rate=25)
    write(folder / "transport.ts", range(40), rate=25)
    write(folder / "no_times.h264", range(30), rate=25, options={"bf": "0"})
    write(folder / "no_times.m4v", range(30), "mpeg4", rate=25)
    write(folder / "decoding_times.avi", range(40), "mpeg4", rate=25, options={"bf": "2"})
    write(folder / "b_frames.mp4", range(61), options={"bf": "8", "x264-params":
          "threads=1:b-pyramid=normal:ref=4:open-gop=1:keyint=20:min-keyint=20"})  # fmt: skip
    write(folder / "many_keyframes.mp4", range(80), options={"g": "4"})
    write(folder / "fragments.mp4", range(60), container={
          "movflags": "frag_keyframe+empty_moov"}, options={"g": "20"})  # fmt: skip


def make_codecs(folder):
    write(folder / "odd_size.webm", range(30), "libvpx-vp9", (63, 47), 15)
    write(folder / "odd_width.mkv", range(20), "ffv1", (35, 28), 10)
    write(folder / "vp8.webm", range(24), "libvpx", rate=12)
    write(folder / "av1.mkv", range(20), "libsvtav1", rate=10, options={"svtav1-params": "lp=1"})
    write(folder / "hevc_10_bit.mp4", range(25), "libx265", rate=25, pixels="yuv420p10le",
          options={"x265-params": X265})  # fmt: skip
    write(folder / "mpeg2.mpg", range(25), "mpeg2video", rate=25, options={"bf": "2"})
    write(folder / "full_range.avi", range(16), "mjpeg", rate=8, pixels="yuvj420p")
    write(folder / "bt709.mp4", range(25), tags={"colorspace": 1, "color_range": 1})
    write(folder / "four_four_four.mp4", range(25), pixels="yuv444p")
    write(folder / "rgb.mkv", range(12), "ffv1", rate=6, pixels="bgr0")
    write(folder / "gray.mkv", range(12), "ffv1", rate=6, pixels="gray")
    write(folder / "animation.gif", range(12), "gif", rate=10, pixels="rgb8")
    webp_animation(folder / "animation.webp")
    write(folder / "wide.mp4", range(30), size=(352, 96), rate=10)
    write(folder / "large.mp4", range(40), size=(480, 272), rate=20)


def make_rest(folder):
    for degrees in (90, 180, 270):
        write(folder / f"turned_{degrees}.mp4", range(20), rate=10)
        turn(folder / f"turned_{degrees}.mp4", degrees)
    write(folder / "interlaced.mp4", range(24), rate=25, size=(64, 64), options={
          "x264-params": "threads=1:tff=1", "flags": "+ildct+ilme+bitexact"})  # fmt: skip
    write(folder / "with_sound.mp4", range(50), sound=True)
    only_sound(folder / "only_sound.m4a")


def make_clips(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for make in (make_rates, make_times, make_codecs, make_rest):
        make(folder)
