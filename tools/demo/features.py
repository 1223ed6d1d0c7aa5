"""Items to what the network takes: token ids, positions, patches, and the layout of the tower.

Before: generator.py makes items and lessons.   After: network.py runs a batch, train.py learns.
Mirrors the chat templates, the picture processor, get_rope_index, get_window_index and rot_pos_emb
of the reference, in numpy, so that worker processes can do it.

The questions of a lesson stand one after the other behind the picture. Each is a branch: it starts
at the same position and sees the picture and itself only, as if it were asked alone.
"""

import functools
import json
import string
from dataclasses import dataclass

import numpy
from PIL import Image
from tokenizers import Tokenizer

import words
from items import Lesson, Question, loaded_size, seen_clip_size, seen_size
from published import DATA, IDS
from screens import ICONS, SURFACES

SYSTEM = "You are a helpful assistant."
PATCH, MERGE, WINDOW = 14, 2, 4  # pixels; patches; merged tokens along a side of a window
ROWS = 256  # rows of a batch are filled up to a multiple of this
TOKENS_PER_SECOND = 2

# What the helper heads of training tell apart; class 0 stands for nothing.
LETTERS = sorted(
    set(string.printable) - set(string.whitespace)
    | set("".join(words.CHINESE) + words.CHINESE_SURNAMES + words.CHINESE_GIVEN)
    | set("".join(words.CHINESE_CITIES) + "发票收据号码日期姓名金额水果价格")
)
KINDS = ("text", *SURFACES, *ICONS, "person", "lying person", "fire", *(s[0] for s in words.SHAPES))
COLOUR_COUNT = len(words.COLOURS)
GLYPHS_PER_PATCH = 3
SIDE = 48  # most rows, columns, pairs of frames, texts and letters of one that helper heads tell apart
LETTER_CLASS = {letter: number for number, letter in enumerate(LETTERS, start=1)}
KIND_CLASS = {kind: number for number, kind in enumerate(KINDS, start=1)}


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


ANSWER_STARTS = "<|im_end|>\n<|im_start|>assistant\n"


def texts(lesson):
    """(what all questions share, [rest of each question])."""
    pad = "<|video_pad|>" if lesson.is_clip else "<|image_pad|>"
    picture = f"<|vision_start|>{pad}<|vision_end|>"
    system = SYSTEM + (tools_block(lesson.tool) if lesson.tool else "")
    start = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    if lesson.picture_first:
        return start + picture, [question.prompt + ANSWER_STARTS for question in lesson.questions]
    (question,) = lesson.questions
    return start + question.prompt + picture, [ANSWER_STARTS]


def as_lesson(item):
    """An item as a lesson of one question."""
    question = Question(item.prompt, item.answer)
    return Lesson(item.frames, [question], [], item.fps, item.tool, item.picture_first)


def prompt_text(item):
    """The conversation up to the answer, one placeholder for the picture or clip."""
    start, (question,) = texts(as_lesson(item))
    return start + question


def resized(frame, size):
    """The frame with (height, width), by the kernel of the reference."""
    size = size[::-1]
    return frame if frame.size == size else frame.resize(size, Image.BICUBIC)


def loaded(frame):
    """The frame as qwen-vl-utils hands it to the processor."""
    return resized(frame, loaded_size(frame.height, frame.width))


def patches(frames):
    """(rows of 8-bit patches [t·h·w, 3·2·14·14], grid (t, h, w)) of a still or a clip."""
    if len(frames) == 1:
        height, width = seen_size(frames[0].height, frames[0].width)
        seen = [numpy.asarray(resized(loaded(frames[0]), (height, width)))] * 2
    else:
        # The reference resizes three times; once is as good to learn from.
        height, width = seen_clip_size(frames[0].height, frames[0].width)
        seen = [numpy.asarray(resized(frame, (height, width))) for frame in frames]
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


def media_positions(start, grid, seconds_per_grid):
    """M-RoPE positions [3, n] of the picture or clip whose first token stands at `start`."""
    t, h, w = grid[0], grid[1] // MERGE, grid[2] // MERGE
    step = int(seconds_per_grid) * TOKENS_PER_SECOND
    times, rows, columns = numpy.meshgrid(
        numpy.arange(t) * step, numpy.arange(h), numpy.arange(w), indexing="ij"
    )
    return numpy.stack([times.reshape(-1), rows.reshape(-1), columns.reshape(-1)]) + start


def text_positions(start, count):
    return numpy.tile(numpy.arange(start, start + count), (3, 1))


@dataclass
class Example:
    """One lesson, ready to be put in a batch."""

    patches: numpy.ndarray  # [n_patches, 1176] 8-bit
    grid: tuple
    drawn: dict  # of each patch: see drawn_tables
    # Empty when only the tower is taught:
    ids: list = ()
    branch: list = ()  # 0: shared by all questions; then the number of the question
    answers: list = ()  # (place of the answer's first token, its tokens) of each question
    where: list = ()  # of each question: frame pair, row and column of the patch that each token is
    # read off, or -1
    order: list = ()  # of each question: the number of the text or thing that each token is read off
    # and the number of the letter in it, or -1
    what: list = ()  # of each question: kind and colour of the thing that each token is read off, or -1
    positions: numpy.ndarray = None  # [3, n]
    media: int = 0  # place of the first token of the picture


def drawn_tables(drawn, grid):
    """What stands on each patch, in the order of `patches`.

    glyphs [n, 3]: letters whose middle lies on the patch, from left to right; kind [n] and colour
    [n] of the topmost thing over the middle of the patch; edges [n, 4]: how far that thing's edges
    lie to the left, above, to the right and below, in merged tokens; order [n, 2]: the number of the
    text in order of reading and that of the patch's first letter in it, or of a thing and whether
    this is its middle, or -1.
    """
    t, h, w = grid
    glyphs = numpy.zeros((t, h, w, GLYPHS_PER_PATCH), numpy.int64)
    kind, colour = numpy.zeros((t, h, w), numpy.int64), numpy.zeros((t, h, w), numpy.int64)
    edges, order = numpy.zeros((t, h, w, 4), numpy.float32), numpy.full((t, h, w, 2), -1)
    xs, ys = (numpy.arange(w) + 0.5) * PATCH, (numpy.arange(h) + 0.5) * PATCH
    for time, frame in enumerate(drawn[::2]):
        for number, (name, hue, (x1, y1, x2, y2)) in enumerate(frame.regions):
            columns = numpy.flatnonzero((xs >= x1) & (xs <= x2))
            rows = numpy.flatnonzero((ys >= y1) & (ys <= y2))
            if not len(rows) or not len(columns):
                continue
            here = (time, slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            kind[here] = KIND_CLASS[name]
            colour[here] = 0 if hue is None else hue + 1
            left, right = (xs[columns] - x1)[None], (x2 - xs[columns])[None]
            above, below = (ys[rows] - y1)[:, None], (y2 - ys[rows])[:, None]
            sides = numpy.broadcast_arrays(left, above, right, below)
            edges[here] = numpy.stack(sides, axis=-1) / (PATCH * MERGE)
            if not frame.glyphs:
                order[here] = (number, 0)
                middle = int((y1 + y2) / 2 // PATCH), int((x1 + x2) / 2 // PATCH)
                order[time, min(middle[0], h - 1), min(middle[1], w - 1)] = (number, 1)
        for letter, x, y, *place in sorted(frame.glyphs, key=lambda glyph: glyph[1]):
            row, column = int(y // PATCH), int(x // PATCH)
            if 0 <= row < h and 0 <= column < w:
                free = numpy.flatnonzero(glyphs[time, row, column] == 0)
                if len(free):
                    glyphs[time, row, column, free[0]] = LETTER_CLASS[letter]
                if len(free) == GLYPHS_PER_PATCH:
                    order[time, row, column] = numpy.minimum(place, SIDE - 1)

    def in_order(table):
        rest = table.shape[3:]
        table = table.reshape(t, h // MERGE, MERGE, w // MERGE, MERGE, *rest)
        return table.swapaxes(2, 3).reshape(t * h * w, *rest)

    tables = {"glyphs": glyphs, "kind": kind, "colour": colour, "edges": edges, "order": order}
    return {name: in_order(table) for name, table in tables.items()}


def encode(text):
    return tokenizer().encode(text, add_special_tokens=False).ids


def spelt(question):
    """(tokens of the answer with its end, the letters [start, end) of each).

    What is read off the picture letter by letter is spelt: a token a letter, though longer tokens
    exist. A token of a word would have to be put together from several places at once, which a
    small model learns very slowly; any tokens of the same text decode to the same answer.
    """
    text = question.answer
    single = numpy.zeros(len(text), bool)
    for place in question.places:
        single[place.start : place.end] |= place.end == place.start + 1
    spaces = [i for i in range(1, len(text) - 1) if text[i] == " "]
    single[[i for i in spaces if single[i - 1] and single[i + 1]]] = True
    ids, spans, start = [], [], 0
    while start < len(text):
        end = start + 1
        while not single[start] and end < len(text) and not single[end]:
            end += 1
        found = tokenizer().encode(text[start:end], add_special_tokens=False)
        ids += found.ids
        spans += [(start + a, start + b) for a, b in found.offsets]
        start = end
    return ids + [IDS["<|im_end|>"]], spans + [(len(text), len(text))]


def answer_tokens(question, drawn, grid):
    """(tokens of the answer with its end, where on the picture each is read off [n, 3], the number of
    the text or thing there and of the letter in it [n, 2])."""
    ids, spans = spelt(question)
    numbers = [{glyph[1:3]: glyph[3:] for glyph in frame.glyphs} for frame in drawn[::2]]
    order = numpy.full((len(question.answer), 2), -1)
    letters = numpy.full((len(question.answer), 3), -1)
    for start, end, frame, x, y in question.places:
        time = min(frame // 2, grid[0] - 1)
        letters[start:end, 0] = time
        if x is not None and drawn:
            order[start:end] = order_at(drawn[::2][time], numbers[time], x, y)
        if x is not None:
            letters[start:end, 1] = min(max(int(y // PATCH), 0), grid[1] - 1)
            letters[start:end, 2] = min(max(int(x // PATCH), 0), grid[2] - 1)
    where, orders = numpy.full((len(ids), 3), -1), numpy.full((len(ids), 2), -1)
    for number, (start, end) in enumerate(spans):
        known = numpy.flatnonzero(letters[start:end, 0] >= 0)
        if len(known):
            where[number] = letters[start + known[0]]
            orders[number] = order[start + known[0]]
    return ids, where, orders


def things_at(drawn, where, grid):
    """Kind and colour of what stands on the patches `where` [n, 3]; -1 for none, and for text."""
    t, row, column = where.T
    cell = (t * (grid[1] // MERGE) + row // MERGE) * (grid[2] // MERGE) + column // MERGE
    patch = numpy.where(column >= 0, (cell * MERGE + row % MERGE) * MERGE + column % MERGE, 0)
    kind, colour = drawn["kind"][patch], drawn["colour"][patch]
    known = (column >= 0) & (kind > KIND_CLASS["text"])
    return numpy.stack([numpy.where(known, kind, -1), numpy.where(known, colour, -1)], axis=-1)


def order_at(frame, numbers, x, y):
    """The number of the text with a letter at (x, y) and that of the letter, or of a thing and 1."""
    if (x, y) in numbers:
        return numpy.minimum(numbers[x, y], SIDE - 1)
    things = [n for n, (*_, (x1, y1, x2, y2)) in enumerate(frame.regions) if x1 <= x <= x2 and y1 <= y <= y2]
    return (things[-1], 1) if things and not frame.glyphs else (-1, -1)


def sight(lesson):
    """A lesson's pictures as numbers, without its questions."""
    rows, grid = patches(lesson.frames)
    return Example(rows, grid, drawn_tables(lesson.drawn, grid))


def example(lesson):
    """A lesson, or an item as a lesson of one question, as numbers."""
    lesson = lesson if isinstance(lesson, Lesson) else as_lesson(lesson)
    seen = sight(lesson)
    grid = seen.grid
    shared, branches = texts(lesson)
    shared = encode(shared)
    pad = IDS["<|video_pad|>" if lesson.is_clip else "<|image_pad|>"]
    media = shared.index(pad)
    count = grid[0] * grid[1] * grid[2] // MERGE**2
    seconds = 2.0 / lesson.fps if lesson.is_clip else 0
    places = [text_positions(0, media), media_positions(media, grid, seconds)]
    after = int(places[1].max()) + 1
    rest = len(shared) - media - 1
    places.append(text_positions(after, rest))
    ids = shared[:media] + [pad] * count + shared[media + 1 :]
    branch, answers, wheres, orders, whats = [0] * len(ids), [], [], [], []
    for number, (asked, text) in enumerate(zip(lesson.questions, branches), start=1):
        question = encode(text)
        answer, where, order = answer_tokens(asked, lesson.drawn, grid)
        answers.append((len(ids) + len(question), answer))
        wheres.append(where)
        orders.append(order)
        whats.append(things_at(seen.drawn, where, grid))
        ids = ids + question + answer
        branch += [number] * (len(question) + len(answer))
        places.append(text_positions(after + rest, len(question) + len(answer)))
    seen.ids, seen.branch, seen.answers, seen.media = ids, branch, answers, media
    seen.where, seen.order, seen.what = wheres, orders, whats
    seen.positions = numpy.concatenate(places, axis=1)
    return seen


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


def text_segments(examples, longest):
    """Segments and groups of fast_layers.cpp for rows of `longest` tokens."""
    found, groups = [], []
    for row, e in enumerate(examples):
        start, branch = row * longest, numpy.asarray(e.branch)
        shared = int((branch == 0).sum())
        counts = numpy.bincount(branch)
        groups.append((len(found), len(counts), start, len(branch)))
        found.append((start, shared, start, 0))
        for place, count in zip(numpy.cumsum(counts)[:-1], counts[1:]):
            found.append((start + int(place), int(count), start, shared))
    return numpy.array(found, numpy.int32), numpy.array(groups, numpy.int32)


def source_tokens(e):
    """The place in the sequence of the merged token that each answer token is read off, or -1."""
    where = numpy.concatenate(e.where)
    t, row, column = where[:, 0], where[:, 1] // MERGE, where[:, 2] // MERGE
    cell = (t * (e.grid[1] // MERGE) + row) * (e.grid[2] // MERGE) + column
    return numpy.where((where >= 0).all(axis=1), e.media + cell, -1)


def answer_tables(examples, longest):
    """Where answers are predicted: flat places, their targets, weights and questions."""
    places, targets, weights, questions, count = [], [], [], [], 0
    for row, e in enumerate(examples):
        for start, answer in e.answers:
            places.append(row * longest + start - 1 + numpy.arange(len(answer)))
            targets += answer
            # Between one vote a token and one vote an answer: a count is one token, a table many.
            weights += [len(answer) ** -0.5] * len(answer)
            questions += [count] * len(answer)
            count += 1
    return {
        "answer_places": numpy.concatenate(places),
        "answer_targets": numpy.array(targets),
        "answer_weights": numpy.array(weights, numpy.float32),
        "answer_questions": numpy.array(questions),
        "answer_where": numpy.concatenate([where for e in examples for where in e.where]),
        "answer_order": numpy.concatenate([order for e in examples for order in e.order]),
        "answer_what": numpy.concatenate([what for e in examples for what in e.what]),
        "answer_source": numpy.concatenate([source_tokens(e) for e in examples]),
        "answer_counts": numpy.array([sum(len(a) for _, a in e.answers) for e in examples]),
        "shared_counts": numpy.array([e.branch.count(0) for e in examples]),
    }


def text_tables(examples, longest):
    """ids and branch [batch, longest], positions [3, batch, longest], flat media_places."""
    count = len(examples)
    ids = numpy.full((count, longest), IDS["<|endoftext|>"], numpy.int64)
    branch = numpy.full((count, longest), -1, numpy.int64)
    positions = numpy.zeros((3, count, longest), numpy.int64)
    media, cells = [], []
    for row, e in enumerate(examples):
        ids[row, : len(e.ids)] = e.ids
        branch[row, : len(e.ids)] = e.branch
        positions[:, row, : len(e.ids)] = e.positions
        t, h, w = e.grid[0], e.grid[1] // MERGE, e.grid[2] // MERGE
        media.append(row * longest + e.media + numpy.arange(t * h * w))
        cells.append(numpy.indices((t, h, w)).reshape(3, -1).T)
    return {
        "ids": ids,
        "branch": branch,
        "positions": positions,
        "text_segments": text_segments(examples, longest)[0],
        "text_groups": text_segments(examples, longest)[1],
        "media_places": numpy.concatenate(media),
        "cells": numpy.concatenate(cells),  # frame, row and column of each merged token
        "token_order": numpy.concatenate([e.drawn["order"] for e in examples]).reshape(-1, 8),
    }


def tower_tables(examples):
    """Patches of all pictures by window, and the tables of the tower's segments.

    Blank patches in segments of their own make the count a multiple of ROWS: libraries prepare
    themselves for each shape anew, so there should be few.
    """
    orders, windows, frames, offset = [], [], [], 0
    for e in examples:
        order, sizes = window_order(e.grid)
        orders.append(order + offset)
        windows += sizes
        frames += [e.grid[1] * e.grid[2]] * e.grid[0]
        offset += len(order)
    order = numpy.concatenate(orders)
    patch_order = (order[:, None] * MERGE**2 + numpy.arange(MERGE**2)).reshape(-1)
    blank = -len(patch_order) % ROWS
    for sizes in (windows, frames):
        sizes += [64] * (blank // 64) + [blank % 64] * (blank % 64 > 0)

    def ordered(parts):
        rows = numpy.concatenate(parts)[patch_order]
        return numpy.concatenate([rows, numpy.zeros((blank, *rows.shape[1:]), rows.dtype)])

    tables = {
        "patches": ordered([e.patches for e in examples]),
        "patch_places": ordered([patch_places(e.grid) for e in examples]),
        "merged_order": order,  # the place of each merged token without windows
        "merged_back": numpy.argsort(order),
    }
    for name in ("glyphs", "kind", "colour", "edges"):
        tables[f"drawn_{name}"] = ordered([e.drawn[name] for e in examples])
    for name, sizes in (("window", windows), ("frame", frames)):
        for part, table in zip(("gather", "filled", "scatter"), segments(sizes)):
            tables[f"{name}_{part}"] = table
        starts = numpy.cumsum([0, *sizes[:-1]])
        alone = [(start, size, start, 0) for start, size in zip(starts, sizes)]
        groups = [(number, 1, start, size) for number, (start, size, *_) in enumerate(alone)]
        tables[f"{name}_segments"] = numpy.array(alone, numpy.int32)
        tables[f"{name}_groups"] = numpy.array(groups, numpy.int32)
    return tables


def collate(examples):
    """A batch as a dict of numpy arrays; texts are padded on the right."""
    if not examples[0].ids:
        return tower_tables(examples)
    longest = padded_length(examples)
    return {
        **text_tables(examples, longest),
        **answer_tables(examples, longest),
        **tower_tables(examples),
    }
