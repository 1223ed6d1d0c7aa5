"""Items to what the network takes: token ids, positions, patches, and the layout of the tower.

Before: generator.py makes items.   After: network.py runs a batch, train.py learns from it.
Mirrors the chat templates, the picture processor, get_rope_index, get_window_index and rot_pos_emb
of the reference, in numpy, so that worker processes can do it.
"""

import functools
import json
from dataclasses import dataclass

import numpy
from PIL import Image
from tokenizers import Tokenizer

from items import loaded_size, seen_size
from published import DATA, IDS

SYSTEM = "You are a helpful assistant."
PATCH, MERGE, WINDOW = 14, 2, 4  # pixels; patches; merged tokens along a side of a window
TOKENS_PER_SECOND = 2


@functools.lru_cache(maxsize=1)
def tokenizer():
    return Tokenizer.from_file(str(DATA / "tokenizer.json"))


def tools_block(tool):
    """The part of the system turn that defines a function."""
    return (
        "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        f"{json.dumps(tool, ensure_ascii=False)}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def prompt_text(item):
    """The conversation up to the answer, one placeholder for the picture or clip."""
    pad = "<|video_pad|>" if item.is_clip else "<|image_pad|>"
    picture = f"<|vision_start|>{pad}<|vision_end|>"
    user = picture + item.prompt if item.picture_first else item.prompt + picture
    system = SYSTEM + (tools_block(item.tool) if item.tool else "")
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def resized(frame, size):
    """The frame with (height, width), by the kernel of the reference."""
    size = size[::-1]
    return frame if frame.size == size else frame.resize(size, Image.BICUBIC)


def loaded(frame):
    """The frame as qwen-vl-utils hands it to the processor."""
    return resized(frame, loaded_size(frame.height, frame.width))


def patches(frames):
    """(rows of 8-bit patches [t·h·w, 3·2·14·14], grid (t, h, w)) of a still or a clip."""
    height, width = seen_size(frames[0].height, frames[0].width)
    seen = [numpy.asarray(resized(loaded(frame), (height, width))) for frame in frames]
    if len(seen) == 1:
        seen = seen * 2
    t, h, w = len(seen) // 2, height // PATCH, width // PATCH
    values = numpy.stack(seen).transpose(0, 3, 1, 2)
    values = values.reshape(t, 2, 3, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH)
    values = values.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return numpy.ascontiguousarray(values.reshape(t * h * w, -1)), (t, h, w)


@functools.lru_cache(maxsize=4096)
def window_order(grid):
    """(order of merged tokens by window, patches in each window)."""
    t, h, w = grid[0], grid[1] // MERGE, grid[2] // MERGE
    index = numpy.arange(t * h * w).reshape(t, h, w)
    order, sizes = [], []
    for frame in index:
        for top in range(0, h, WINDOW):
            for left in range(0, w, WINDOW):
                window = frame[top : top + WINDOW, left : left + WINDOW].reshape(-1)
                order.append(window)
                sizes.append(len(window) * MERGE * MERGE)
    return numpy.concatenate(order), sizes


@functools.lru_cache(maxsize=4096)
def patch_places(grid):
    """Row and column of each patch [n, 2], in the order of `patches`."""
    t, h, w = grid
    rows, columns = numpy.meshgrid(numpy.arange(h), numpy.arange(w), indexing="ij")
    places = numpy.stack([rows, columns], axis=-1)
    places = places.reshape(h // MERGE, MERGE, w // MERGE, MERGE, 2).transpose(0, 2, 1, 3, 4)
    return numpy.tile(places.reshape(-1, 2), (t, 1))


def positions(ids, pad_id, grid, seconds_per_grid):
    """M-RoPE positions [3, n] of a sequence with one picture or clip."""
    start = ids.index(pad_id)
    t, h, w = grid[0], grid[1] // MERGE, grid[2] // MERGE
    step = int(seconds_per_grid) * TOKENS_PER_SECOND
    times, rows, columns = numpy.meshgrid(
        numpy.arange(t) * step, numpy.arange(h), numpy.arange(w), indexing="ij"
    )
    media = numpy.stack([times.reshape(-1), rows.reshape(-1), columns.reshape(-1)]) + start
    before = numpy.tile(numpy.arange(start), (3, 1))
    rest = len(ids) - start - media.shape[1]
    after = numpy.tile(numpy.arange(rest) + media.max() + 1, (3, 1))
    return numpy.concatenate([before, media, after], axis=1)


@dataclass
class Example:
    """One item, ready to be put in a batch."""

    ids: list
    n_prompt: int  # tokens before the answer
    positions: numpy.ndarray  # [3, n]
    patches: numpy.ndarray  # [n_patches, 1176] 8-bit
    grid: tuple


def example(item):
    prompt = tokenizer().encode(prompt_text(item), add_special_tokens=False).ids
    rows, grid = patches(item.frames)
    pad = IDS["<|video_pad|>" if item.is_clip else "<|image_pad|>"]
    place = prompt.index(pad)
    count = grid[0] * grid[1] * grid[2] // MERGE**2
    prompt = prompt[:place] + [pad] * count + prompt[place + 1 :]
    answer = tokenizer().encode(item.answer + "<|im_end|>", add_special_tokens=False).ids
    ids = prompt + answer
    seconds = 2.0 / item.fps if item.is_clip else 0
    return Example(ids, len(prompt), positions(ids, pad, grid, seconds), rows, grid)


def segments(sizes):
    """Index tables that put segments of unequal size in a padded block and back.

    Returns (gather [n_segments, longest], filled [n_segments, longest], scatter [n]).
    """
    sizes = numpy.asarray(sizes)
    longest = int(sizes.max())
    column = numpy.arange(longest)
    filled = column < sizes[:, None]
    starts = numpy.concatenate([[0], numpy.cumsum(sizes)[:-1]])
    gather = numpy.where(filled, starts[:, None] + column, 0)
    return gather, filled, numpy.flatnonzero(filled)


def padded_length(examples):
    """The common length of a batch: few different lengths, so that compiled code is reused."""
    return -(-max(len(e.ids) for e in examples) // 32) * 32


def answer_tables(examples, longest):
    """Where answers are predicted: flat places, their targets, weights and items."""
    places, targets, weights, items = [], [], [], []
    for row, e in enumerate(examples):
        answer = e.ids[e.n_prompt :]
        places.append(row * longest + e.n_prompt - 1 + numpy.arange(len(answer)))
        targets += answer
        # Between one vote a token and one vote an item: a count is one token, a table a hundred.
        weights += [len(answer) ** -0.5] * len(answer)
        items += [row] * len(answer)
    return {
        "answer_places": numpy.concatenate(places),
        "answer_targets": numpy.array(targets),
        "answer_weights": numpy.array(weights, numpy.float32),
        "answer_items": numpy.array(items),
    }


def collate(examples):
    """A batch as a dict of numpy arrays; padded on the right."""
    longest = padded_length(examples)
    count = len(examples)
    ids = numpy.full((count, longest), IDS["<|endoftext|>"], numpy.int64)
    places = numpy.zeros((3, count, longest), numpy.int64)
    for row, e in enumerate(examples):
        ids[row, : len(e.ids)] = e.ids
        places[:, row, : len(e.ids)] = e.positions
    orders, windows, frames, offset = [], [], [], 0
    for e in examples:
        order, sizes = window_order(e.grid)
        orders.append(order + offset)
        windows += sizes
        frames += [e.grid[1] * e.grid[2]] * e.grid[0]
        offset += len(order)
    order = numpy.concatenate(orders)
    patch_order = (order[:, None] * MERGE**2 + numpy.arange(MERGE**2)).reshape(-1)
    all_places = numpy.concatenate([patch_places(e.grid) for e in examples])
    batch = {
        "ids": ids,
        "positions": places,
        **answer_tables(examples, longest),
        "patches": numpy.concatenate([e.patches for e in examples])[patch_order],
        "patch_places": all_places[patch_order],
        "merged_back": numpy.argsort(order),
    }
    for name, sizes in (("window", windows), ("frame", frames)):
        for part, table in zip(("gather", "filled", "scatter"), segments(sizes)):
            batch[f"{name}_{part}"] = table
    return batch
