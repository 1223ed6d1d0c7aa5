#!/usr/bin/env python3
"""Write tests/golden/video: clips, and what the reference reads, samples and generates of them.

    make_video_golden.py [clips|readers|counts|samples|generations ...]

Without arguments everything is made. The contents are described in tests/golden/video/README.md.
torchcodec (in its seek mode "exact") and decord decode; qwen-vl-utils and the video processor
choose frames, resize and cut patches.
"""

import sys
import zlib
from fractions import Fraction

import av
import decord
import numpy
import qwen_vl_utils.vision_process as reference
import torch
import torchcodec
from model_clips import PUBLISHED, VIDEOS, sha, stable
from PIL import Image
from reference import GOLDEN, HEADER, check_versions, load_model, load_processor, write_cases
from torchcodec.decoders import VideoDecoder
from transformers import Qwen2VLVideoProcessor
from transformers.video_utils import VideoMetadata
from video_clips import make_clips

OUT = GOLDEN / "video"
MOST_FRAMES = 160  # whose pixels are recorded; of longer clips every 50th


# ---- what the readers say --------------------------------------------------------------------


def crc(array):
    return f"{zlib.crc32(numpy.ascontiguousarray(array).tobytes()):08x}"


def chosen_frames(count):
    return list(range(count) if count <= MOST_FRAMES else range(0, count, 50))


def with_torchcodec(path):
    decoder = VideoDecoder(str(path), seek_mode="exact")
    count = decoder.metadata.num_frames
    facts = {"n_frames": count, "average_fps": decoder.metadata.average_fps}
    try:
        batch = decoder.get_frames_at(chosen_frames(count))
    except Exception:  # it loses the last frames of some containers
        return facts
    pixels = batch.data.permute(0, 2, 3, 1).numpy()
    return {**facts, "seconds": batch.pts_seconds.tolist(), **described(pixels)}


def with_decord(path):
    reader = decord.VideoReader(str(path), num_threads=1)
    facts = {"n_frames": len(reader), "average_fps": reader.get_avg_fps()}
    return {**facts, **described(reader.get_batch(chosen_frames(len(reader))).asnumpy())}


def described(pixels):
    crcs = [crc(frame) for frame in pixels]
    return {"height": pixels.shape[1], "width": pixels.shape[2], "crc": crcs}


def with_pillow(path):
    with Image.open(path) as file:
        pixels, seconds, end = [], [], 0
        for k in range(file.n_frames):
            file.seek(k)
            pixels.append(numpy.array(file.convert("RGB")))
            seconds.append(end / 1000)
            end += file.info["duration"]
    facts = {"n_frames": len(pixels), "average_fps": len(pixels) / (end / 1000)}
    return {**facts, "seconds": seconds, **described(numpy.stack(pixels))}


READERS = {"torchcodec": with_torchcodec, "decord": with_decord}
# decord 0.6 counts the frames that an edit list hides, may wait forever where there are no times,
# and fails to turn pictures.
NOT_FOR_DECORD = {"edit_list.mp4", "no_times.h264", "no_times.m4v", "animation.gif"}
NOT_FOR_DECORD |= {"av1.mkv", "transport.ts", "turned_90.mp4", "turned_270.mp4", "negative.mkv"}
# torchcodec 0.17 refuses the one and measures nothing in the other.
NOT_FOR_TORCHCODEC = {"no_times.h264", "negative.mkv"}


def make_readers():
    stored = []
    for path in sorted(VIDEOS.iterdir()):
        if path.suffix == ".webp":  # the others cannot
            stored.append({"clip": path.name, "reader": "pillow", **with_pillow(path)})
            continue
        for reader, read in READERS.items():
            refused = NOT_FOR_DECORD if reader == "decord" else NOT_FOR_TORCHCODEC
            if path.name not in refused | {"only_sound.m4a"}:
                stored.append({"clip": path.name, "reader": reader, **read(path)})
    write_cases(OUT / "readers.json", stored)


# ---- how many frames, and which --------------------------------------------------------------


def count_case(total, fps, options, rule):
    """Of a video that exists as a number of frames and a rate only."""
    if rule == "hf":
        metadata = VideoMetadata(total_num_frames=total, fps=fps)
        indices = Qwen2VLVideoProcessor().sample_frames(metadata, **options).tolist()
        if indices[-1] >= total:
            raise ValueError("rounding gives one frame too many, and reading it fails")
        sample_fps = options.get("fps", 2.0)  # what the model is told
    else:
        first, last, count = reference.calculate_video_frame_range(options, total, fps)
        n = reference.smart_nframes(options, count, fps)
        indices = torch.linspace(first, last, n).round().long().tolist()
        sample_fps = n / max(count, 1e-6) * fps
    return {
        "total": total, "fps": fps, "rule": rule, "options": options, "n": len(indices),
        "ends": indices[:3] + indices[-3:], "crc": crc(numpy.array(indices, "<i8")),
        "sample_fps": sample_fps,
    }  # fmt: skip


def count_options(total, fps, rule):
    counts = [8, 9, 31, 100, 767]
    rates = [0.3, 1, 2.0, 3.7, 10, 24]
    key = "num_frames" if rule == "hf" else "nframes"
    yield from ({"fps": rate} for rate in rates)
    yield from ({key: count} for count in counts)
    yield {"fps": 2.0, "min_frames": 10, "max_frames": 20}
    yield {"fps": 8.5, "max_frames": 333}
    if rule == "qwen_vl_utils":
        yield {}
        length = total / fps
        yield {"video_start": length * 0.2, "video_end": length * 0.9}
        yield {"video_start": 1.01}
        yield {"video_end": length / 3, "fps": 5}
        yield {"video_start": -3, "video_end": length * 2, "nframes": 16}


def make_counts():
    stored = []
    for total in (2, 3, 10, 100, 901, 1799, 2500, 36000, 90001, 324000):
        for fps in (1, 10, 15, float(Fraction(24000, 1001)), 25, 29.97002997002997, 30, 59.9, 60):
            for rule in ("qwen_vl_utils", "hf"):
                for options in count_options(total, fps, rule):
                    try:
                        stored.append(count_case(total, fps, options, rule))
                    except (ValueError, RuntimeError, ZeroDivisionError):
                        continue  # too few frames for what is asked
    write_cases(OUT / "counts.json", stored[::5])  # each option meets each length and rate


# ---- sizes and patches -----------------------------------------------------------------------

SMALL = {"min_pixels": 3136, "max_pixels": 9408}


def sample_case(clip, options, reader="torchcodec", rule="qwen_vl_utils"):
    limits = {"shortest_edge": PUBLISHED[0], "longest_edge": PUBLISHED[1]}
    case = {"clip": clip, "options": options, "reader": reader, "rule": rule}
    path = str(VIDEOS / clip)
    if rule == "hf":
        sizes = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
        limits |= {sizes[key]: value for key, value in options.items() if key in sizes}
        asked = {key: value for key, value in options.items() if key not in sizes}
        processor = Qwen2VLVideoProcessor(size=limits)
        out = processor(
            videos=[path], do_sample_frames=True, return_tensors="pt", return_metadata=True, **asked
        )
        metadata = out["video_metadata"][0]
        indices, fps = list(metadata.frames_indices), asked.get("fps", 2.0)
    else:
        reference.get_video_reader_backend = lambda: reader
        (video, metadata), fps = reference.fetch_video(
            {"video": path, **options}, return_video_sample_fps=True, return_video_metadata=True
        )
        assert metadata["video_backend"] == reader
        indices = metadata["frames_indices"]
        out = Qwen2VLVideoProcessor(size=limits)(videos=[video], return_tensors="pt")
    return {
        **case, "indices": [int(i) for i in indices], "sample_fps": fps,
        "second_per_grid": 2 / fps, "grid_thw": out["video_grid_thw"][0].tolist(),
        "pixels": sha(out["pixel_values_videos"].numpy().astype("<f4")),
    }  # fmt: skip


def sample_cases():
    unread = NOT_FOR_TORCHCODEC | {
        "only_sound.m4a",
        "one_frame.mp4",
        "animation.webp",
        "decoding_times.avi",
    }
    unread |= {"mpeg2.mpg", "transport.ts"}
    for path in sorted(VIDEOS.iterdir()):
        if path.name not in unread:
            yield path.name, SMALL
    for clip in ("fps_1.mp4", "fps_23_976.mp4", "vfr.mp4", "turned_90.mp4", "large.mp4"):
        yield clip, {}
    for options in (
        {"fps": 10}, {"fps": 0.5}, {"nframes": 7}, {"nframes": 24}, {"fps": 25, "max_frames": 18},
        {"min_frames": 20}, {"video_start": 0.5}, {"video_end": 1.25}, {"fps": 20, "video_end": 0.9},
        {"video_start": 0.3, "video_end": 2.2, "fps": 4}, {"video_start": -1, "video_end": 99},
    ):  # fmt: skip
        for clip in ("fps_29_97.mp4", "vfr.mp4", "b_frames.mp4"):
            yield clip, {**options, **SMALL}
    for options in (
        {"min_pixels": 50176}, {"max_pixels": 120000}, {"min_pixels": 3136},
        {"min_pixels": 3136, "max_pixels": 12544}, {"total_pixels": 500000},
        {"total_pixels": 250000, "min_pixels": 20000}, {"resized_height": 90, "resized_width": 131},
        {"resized_height": 280, "resized_width": 500},
    ):  # fmt: skip
        yield "large.mp4", options
        yield "odd_size.webm", options
    # Where it has to seek in others, decord gives other frames than when it reads all.
    for clip in ("vfr.mp4", "fps_59_94.mp4", "fps_50.mp4", "b_frames.mp4", "vfr.mkv"):
        yield clip, SMALL, "decord"
        yield clip, {**SMALL, "fps": 5}, "decord"
    for clip in ("fps_24.mp4", "vfr.mp4", "fps_7_5.mp4", "turned_270.mp4", "fps_60.mp4"):
        for options in ({"fps": 2.0}, {"fps": 5}, {"num_frames": 6}, {"num_frames": 9}):
            yield clip, {**options, **SMALL}, "torchcodec", "hf"
    yield "large.mp4", {"fps": 4}, "torchcodec", "hf"


def make_samples():
    write_cases(OUT / "samples.json", [sample_case(*case) for case in sample_cases()])


# ---- generations -----------------------------------------------------------------------------


def video(name, **options):
    return {"type": "video", "video": name, **SMALL, **options}


CONVERSATIONS = (
    ("two a second", [video("fps_25.mp4"), "What moves?"]),
    ("four a second", [video("fps_29_97.mp4", fps=4.0), "What moves?"]),
    ("a part", ["When", video("vfr.mp4", video_start=0.5, video_end=2.0)]),
    ("twelve frames", [video("b_frames.mp4", nframes=12), "Describe"]),
    ("slow", [video("twenty_minutes.mp4", fps=0.02), "Describe"]),
    ("turned", [video("turned_90.mp4"), "Which way up?"]),
    ("odd", [video("odd_size.webm", fps=3.0), "Describe"]),
    ("two videos", [video("fps_10.mp4"), "and", video("vfr.mkv", fps=1.5), "?"]),
)


def make_generations():
    reference.get_video_reader_backend = lambda: "torchcodec"
    processor, model = load_processor("tiny"), load_model("tiny")
    stored = [
        {"name": name, **stable(model, processor, parts, name == "two videos")}
        for name, parts in CONVERSATIONS
    ]
    write_cases(OUT / "generations.json", stored)


PARTS = {
    "clips": lambda: make_clips(VIDEOS),
    "readers": make_readers,
    "counts": make_counts,
    "samples": make_samples,
    "generations": make_generations,
}


def main():
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(f"make_video_golden: '{unknown[0]}' is not one of {', '.join(PARTS)}")
    check_versions()
    HEADER["torchcodec"] = torchcodec.__version__.split("+")[0]
    HEADER["ffmpeg"] = "5.1 (under torchcodec)"
    HEADER["decord"] = decord.__version__
    HEADER["av"] = av.__version__
    torch.manual_seed(0)
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name in names:
        PARTS[name]()


if __name__ == "__main__":
    main()
