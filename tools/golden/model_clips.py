"""Golden clips: lists of frames through qwen-vl-utils, the video processor and the tiny model.

Writes clip_resizes.json (the float resize alone), clip_pixels.json (sizes and patches of frame
lists by every rule and limit), clips.json (prompts, positions, generations) and clips/ (frames).
"""

import copy
import hashlib

import numpy
import torch
from model_generations import ENDINGS, Unstable, answers, check_greedy, generate
from PIL import Image
from qwen_vl_utils import process_vision_info
from qwen_vl_utils.vision_process import fetch_image, fetch_video
from reference import GOLDEN, IMAGES, OUT, load_model, load_processor, write_cases
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F
from transformers import Qwen2VLVideoProcessor

CLIPS = OUT / "clips"
VIDEOS = GOLDEN / "video" / "clips"
PUBLISHED, DEMO = (3136, 12845056), (12544, 100352)


# ---- frames ----------------------------------------------------------------------------------


def ball(k):
    """A disc that crosses a gradient, 60 x 45."""
    y, x = numpy.meshgrid(numpy.arange(45), numpy.arange(60), indexing="ij")
    disc = (x - 9 * k - 6) ** 2 + (y - 20 - 3 * (k % 3)) ** 2 < 90
    background = numpy.stack([3 * x, 4 * y, 90 + 0 * x], -1)
    return numpy.where(disc[..., None], [240, 40 + 20 * k, 20], background)


def bars(k):
    """Stripes that move, 150 x 61: thin, and no multiple of anything."""
    y, x = numpy.meshgrid(numpy.arange(61), numpy.arange(150), indexing="ij")
    stripes = 255 * ((x + 4 * k) // 11 % 2)
    return numpy.stack([stripes, 255 - 4 * y, (x * y // 40 + 30 * k) % 256], -1)


def large(k):
    """Rings, 420 x 300: enough pixels for a budget to shrink them."""
    y, x = numpy.meshgrid(numpy.arange(300), numpy.arange(420), indexing="ij")
    rings = ((x - 200) ** 2 + (y - 40 * k) ** 2) // 3000
    return numpy.stack([rings * 23 % 256, rings * 50 % 256, 255 - rings * 9 % 256], -1)


def square(k):
    """112 x 112, which every rule leaves as it is where the limits allow it."""
    y, x = numpy.meshgrid(numpy.arange(112), numpy.arange(112), indexing="ij")
    columns = (x + 8 * k) // 7 * 20 % 256
    return numpy.stack([columns, y // 9 * 31 % 256, 200 * (x > y) + 5 * k], -1)


FRAMES = {"ball": (ball, 6), "bars": (bars, 4), "large": (large, 4), "square": (square, 5)}


def make_frames():
    for name, (draw, count) in FRAMES.items():
        (CLIPS / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            picture = Image.fromarray(draw(k).astype(numpy.uint8))
            picture.save(CLIPS / name / f"frame{k}.png", optimize=True)


def paths(name, count):
    return [f"{name}/frame{k}.png" for k in range(count)]


# ---- the float resize ------------------------------------------------------------------------


def sha(array):
    return hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()


def resize_case(height, width, new_height, new_width):
    """Of a formula that the test computes, too."""
    y, x = numpy.meshgrid(numpy.arange(height), numpy.arange(width), indexing="ij")
    planes = [(7 * x + 13 * y + 50 * c + x * y % (11 + c)) % 256 for c in range(3)]
    tensor = torch.from_numpy(numpy.stack(planes)).float()
    size = [new_height, new_width]
    out = F.resize(tensor, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
    rounded = out.clamp(0, 255).round().to(torch.uint8)
    return {
        "from": [height, width],
        "to": size,
        "float": sha(out.permute(1, 2, 0).numpy().astype("<f4")),
        "rounded": sha(rounded.permute(1, 2, 0).numpy()),
    }


def make_resizes():
    sizes = [(112, 112, 336, 336), (336, 336, 308, 308), (112, 168, 280, 392), (280, 392, 252, 364)]
    sizes += [(61, 47, 84, 56), (300, 500, 112, 168), (118, 125, 28, 56), (700, 30, 112, 28)]
    sizes += [(30, 700, 28, 112), (112, 112, 112, 168), (112, 112, 56, 112), (5, 3, 28, 28)]
    sizes += [(56, 56, 56, 56), (1, 40, 28, 28), (233, 244, 196, 112), (64, 1000, 56, 28)]
    write_cases("clip_resizes.json", [resize_case(*size) for size in sizes])


# ---- sizes and patches -----------------------------------------------------------------------


def load(path):
    return Image.open(CLIPS / path).convert("RGB")


def video_of(rule, frames, options):
    """What the rule's loader hands to the processor."""
    if rule == "qwen_vl_utils":
        return fetch_video({"video": [str(CLIPS / path) for path in frames], **options})
    if rule == "qwen_vl_utils11":  # until 0.0.11 frames were pictures, and the last was repeated
        pictures = [fetch_image({"image": str(CLIPS / path), **options}) for path in frames]
        return pictures + pictures[-1:] * (len(pictures) % 2)
    return [load(path) for path in frames]


def pixel_case(rule, frames, limits, options):
    size = {"shortest_edge": limits[0], "longest_edge": limits[1]}
    if rule == "hf" and options:
        size = {"shortest_edge": options["min_pixels"], "longest_edge": options["max_pixels"]}
    processor = Qwen2VLVideoProcessor(size=size)
    out = processor(videos=[video_of(rule, frames, options)], return_tensors="pt")
    return {
        "rule": rule,
        "frames": frames,
        "limits": limits,
        "options": options,
        "grid_thw": out["video_grid_thw"][0].tolist(),
        "pixels": sha(out["pixel_values_videos"].numpy().astype("<f4")),
    }


def pixel_cases():
    some = {"ball": 3, "bars": 4, "large": 4, "square": 5}
    for rule in ("qwen_vl_utils", "qwen_vl_utils11", "hf"):
        for limits in (PUBLISHED, DEMO):
            for name, count in some.items():
                yield rule, paths(name, count), limits, {}
    yield "qwen_vl_utils", paths("ball", 1), PUBLISHED, {}
    for limits in (PUBLISHED, DEMO):
        for options in (
            {"min_pixels": 12544, "max_pixels": 100352},
            {"min_pixels": 12544},
            {"max_pixels": 301056},
            {"resized_height": 90, "resized_width": 130},
            {"total_pixels": 400000},
            {"total_pixels": 250000, "min_pixels": 50000},
        ):
            yield "qwen_vl_utils", paths("large", 3), limits, options
            yield "qwen_vl_utils", paths("square", 2), limits, options
    yield "qwen_vl_utils11", paths("large", 2), DEMO, {"max_pixels": 50176}
    asked = {"resized_height": 60, "resized_width": 90}
    yield "qwen_vl_utils11", paths("bars", 2), PUBLISHED, asked
    yield "hf", paths("large", 2), PUBLISHED, {"min_pixels": 3136, "max_pixels": 50176}
    # Sizes that differ but come to the same for the loader.
    yield "qwen_vl_utils", paths("ball", 1) + paths("square", 1), PUBLISHED, {
        "resized_height": 112,
        "resized_width": 112,
    }


# ---- prompts, positions, generations ---------------------------------------------------------


def clip(name, count, **options):
    return {"type": "video", "video": paths(name, count), **options}


def image(name):
    return {"type": "image", "image": f"{name}.png"}


SMALL = {"min_pixels": 12544, "max_pixels": 25088}

CONVERSATIONS = (
    ("even", [clip("ball", 4), "What moves?"]),
    ("odd", [clip("ball", 5, sample_fps=1.0, **SMALL), "What moves?"]),
    ("one frame", [clip("square", 1, sample_fps=2.0, **SMALL), "What is it"]),
    ("half a frame a second", ["When", clip("square", 4, sample_fps=0.5, **SMALL)]),
    ("five a second", [clip("square", 4, sample_fps=5.0, **SMALL), "Describe"]),
    ("24 a second", [clip("bars", 4, sample_fps=24, **SMALL), "Describe"]),
    ("1.3 a second", [clip("bars", 3, sample_fps=1.3, **SMALL), "Describe"]),
    ("nearly two a second", [clip("ball", 4, sample_fps=2.00000001, **SMALL), "Describe"]),
    ("odd sizes", [clip("bars", 3), "Is it striped?"]),
    ("beside a picture", [image("rings"), clip("ball", 6, **SMALL), "Compare"]),
    ("before a picture", [clip("square", 3, sample_fps=1.0, **SMALL), image("hash"), "Compare"]),
    ("two clips", [clip("ball", 4, **SMALL), "and", clip("square", 5, sample_fps=1, **SMALL), "?"]),
)


def content_of(parts, ending):
    items = [{"type": "text", "text": p} if isinstance(p, str) else dict(p) for p in parts]
    texts = [item for item in items if item["type"] == "text"]
    texts[-1]["text"] += ending
    return items


def with_paths(messages):
    messages = copy.deepcopy(messages)
    for item in messages[0]["content"]:
        if isinstance(item.get("video"), str):
            item["video"] = str(VIDEOS / item["video"])
        elif "video" in item:
            item["video"] = [str(CLIPS / path) for path in item["video"]]
        if "image" in item:
            item["image"] = str(IMAGES / item["image"])
    return messages


def encode(processor, messages, numbered):
    """The published recipe for clips."""
    messages = with_paths(messages)
    text = processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, add_vision_id=numbered
    )
    images, videos, options = process_vision_info(messages, return_video_kwargs=True)
    return text, processor(
        text=[text], images=images, videos=videos, return_tensors="pt", **options
    )


def attempt(model, processor, parts, numbered, ending):
    messages = [{"role": "user", "content": content_of(parts, ending)}]
    text, inputs = encode(processor, messages, numbered)
    eos, pad = model.generation_config.eos_token_id, model.generation_config.pad_token_id
    options = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": 16}
    output = generate(model, inputs, options)
    generated = answers(output, inputs["input_ids"].shape[1], eos, pad)
    check_greedy(output, generated)
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        inputs.get("image_grid_thw"),
        inputs["video_grid_thw"],
        second_per_grid_ts=inputs["second_per_grid_ts"],
        attention_mask=inputs["attention_mask"],
    )
    return {
        "messages": messages,
        "add_vision_id": numbered,
        "text": text,
        "input_ids": inputs["input_ids"][0].tolist(),
        "position_ids": positions[:, 0].tolist(),
        "video_grid_thw": inputs["video_grid_thw"].tolist(),
        "second_per_grid_ts": inputs["second_per_grid_ts"].tolist(),
        "generated_ids": generated[0],
    }


def stable(model, processor, parts, numbered):
    reasons = []
    for ending in ENDINGS:
        try:
            return attempt(model, processor, parts, numbered, ending)
        except Unstable as reason:
            reasons.append(str(reason))
    raise SystemExit(f"golden: no stable prompt for a clip: {'; '.join(reasons)}")


def make_clips():
    make_frames()
    make_resizes()
    write_cases("clip_pixels.json", [pixel_case(*case) for case in pixel_cases()])
    stored, processor, model = [], load_processor("tiny"), load_model("tiny")
    for name, parts in CONVERSATIONS:
        stored.append({"name": name, **stable(model, processor, parts, name == "two clips")})
    write_cases("clips.json", stored)
