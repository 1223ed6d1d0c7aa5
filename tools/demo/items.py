"""What a training or test item is, and the arithmetic of picture sizes.

Before: generator.py picks a skill.   After: documents.py, scenes.py, screens.py and clips.py fill
an Item; features.py turns it into tokens and patches. Mirrors smart_resize of the reference.
"""

import hashlib
import math
import random
from dataclasses import dataclass, field
from typing import NamedTuple

FACTOR = 28  # a merged token covers 28 x 28 pixels
MIN_PIXELS = 16 * FACTOR * FACTOR
MAX_PIXELS = 128 * FACTOR * FACTOR
CLIP_MAX_PIXELS = 24 * FACTOR * FACTOR  # of a frame
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


class Place(NamedTuple):
    """Where on the picture some letters of an answer are read off; None where it does not matter."""

    start: int  # the letters of the answer, from
    end: int  # to, not included
    frame: int = 0
    x: float = None  # resized pixels
    y: float = None


class Question(NamedTuple):
    prompt: str
    answer: str
    places: tuple = ()


@dataclass
class Lesson:
    """A picture or clip with several questions, and what is drawn where.

    Training looks at a picture once and answers all its questions apart from each other. `drawn` is
    what the training's helper heads are taught (features.py): no part of the model's input.
    """

    frames: list
    questions: list  # of Question
    drawn: list = field(default_factory=list)  # of each frame, or of the still: Drawn
    fps: float = 0.0
    tool: dict = None
    picture_first: bool = True

    @property
    def is_clip(self):
        return self.fps > 0


@dataclass
class Drawn:
    """What is on a picture, in resized pixels."""

    # (letter, x, y of its middle, number of its text, number in the text):
    glyphs: list = field(default_factory=list)
    regions: list = field(default_factory=list)  # (kind, colour or None, box)


def item_random(skill, split, index):
    """The random stream of one item. Splits share no stream."""
    if split not in SPLITS:
        raise ValueError(f"split '{split}', expected one of {', '.join(SPLITS)}")
    digest = hashlib.sha256(f"{split}/{skill}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


def smart_resize(height, width, min_pixels, max_pixels, factor=FACTOR):
    """Multiples of the factor, area within the limits, about the same shape."""
    if max(height, width) / min(height, width) > 200:
        raise ValueError(f"{width}x{height}: sides differ by more than 200 times")
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = math.floor(height / shrink / factor) * factor
        new_width = math.floor(width / shrink / factor) * factor
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


def loaded_size(height, width):
    """The size after qwen-vl-utils, which has limits of its own."""
    return smart_resize(height, width, 3136, 12845056)


def seen_size(height, width):
    """The size the model sees: after qwen-vl-utils come the processor and the checkpoint's limits."""
    return smart_resize(*loaded_size(height, width), MIN_PIXELS, MAX_PIXELS)


def seen_clip_size(height, width):
    """The size of a clip's frame as the model sees it.

    qwen-vl-utils reads each frame of a list with a factor of 56, then makes it at least 128 tokens
    large; the checkpoint's video processor shrinks it again.
    """
    height, width = smart_resize(height, width, 4 * 56**2, 16384 * 56**2, 56)
    height, width = smart_resize(height, width, 128 * FACTOR**2, 768 * FACTOR**2)
    return smart_resize(height, width, MIN_PIXELS, CLIP_MAX_PIXELS)


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
