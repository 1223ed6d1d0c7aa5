"""What a training or test item is, and the arithmetic of picture sizes.

Before: generator.py picks a skill.   After: documents.py, scenes.py, screens.py and clips.py fill
an Item; features.py turns it into tokens and patches. Mirrors smart_resize of the reference.
"""

import hashlib
import math
import random
from dataclasses import dataclass, field

FACTOR = 28  # a merged token covers 28 x 28 pixels
MIN_PIXELS = 16 * FACTOR * FACTOR
MAX_PIXELS = 128 * FACTOR * FACTOR
SPLITS = ("train", "held_out", "sample")


@dataclass
class Item:
    """A question with its pictures and its right answer."""

    skill: str
    prompt: str
    answer: str
    frames: list  # PIL pictures: one for a still, several for a clip
    truth: dict = field(default_factory=dict)  # what evaluate.py compares with
    fps: float = 0.0  # frames a second of a clip; 0: a still
    tool: dict = None  # the definition of the callable function, on screens
    picture_first: bool = True  # the picture stands before the words

    @property
    def is_clip(self):
        return self.fps > 0


def item_random(skill, split, index):
    """The random stream of one item. Splits share no stream."""
    if split not in SPLITS:
        raise ValueError(f"split '{split}', expected one of {', '.join(SPLITS)}")
    digest = hashlib.sha256(f"{split}/{skill}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


def smart_resize(height, width, min_pixels, max_pixels):
    """Multiples of 28, area within the limits, about the same shape."""
    if max(height, width) / min(height, width) > 200:
        raise ValueError(f"{width}x{height}: sides differ by more than 200 times")
    new_height = max(FACTOR, round(height / FACTOR) * FACTOR)
    new_width = max(FACTOR, round(width / FACTOR) * FACTOR)
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = math.floor(height / shrink / FACTOR) * FACTOR
        new_width = math.floor(width / shrink / FACTOR) * FACTOR
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / FACTOR) * FACTOR
        new_width = math.ceil(width * grow / FACTOR) * FACTOR
    return new_height, new_width


def loaded_size(height, width):
    """The size after qwen-vl-utils, which has limits of its own."""
    return smart_resize(height, width, 3136, 12845056)


def seen_size(height, width):
    """The size the model sees: after qwen-vl-utils come the processor and the checkpoint's limits."""
    return smart_resize(*loaded_size(height, width), MIN_PIXELS, MAX_PIXELS)


def pick_size(rng, level, shapes):
    """A source size (width, height) for a picture of about one of `shapes` (columns, rows).

    Some sources are larger than the limit and get shrunk; the level adds room.
    """
    columns, rows = rng.choice(shapes)
    room = 1.0 if level >= 1 else 0.75 + 0.25 * level
    width, height = columns * FACTOR * room, rows * FACTOR * room
    if rng.random() < 0.25:
        growth = rng.uniform(1.0, 1.9) * math.sqrt(MAX_PIXELS / (width * height))
        if growth > 1:
            width, height = width * growth, height * growth
    jitter = 0.05
    width *= rng.uniform(1 - jitter, 1 + jitter)
    height *= rng.uniform(1 - jitter, 1 + jitter)
    return max(round(width), 4 * FACTOR - 9), max(round(height), 2 * FACTOR)
