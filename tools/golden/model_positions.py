"""Golden position ids (three M-RoPE streams) and window orders of the tower.

Positions come from the reference's get_rope_index. It truncates fractional seconds per grid to
whole ones; for those cases the older float rule is computed here, by a walk over the tokens that
is checked against the reference in every case both can do.
"""

import numpy
import torch
from reference import MODELS, load_model, special_ids, write_cases

TEXT_ID = 300  # any ordinary token


def row(ids, *parts):
    """Token ids of a prompt: an int is that many text tokens, ("image"|"video", grid) a block."""
    tokens = []
    for part in parts:
        if isinstance(part, int):
            tokens += [TEXT_ID + len(tokens) + i for i in range(part)]
        elif isinstance(part, str):
            tokens.append(ids[part])
        else:
            kind, (t, h, w) = part
            tokens += [ids["vision_start"], *[ids[kind]] * (t * h * w // 4), ids["vision_end"]]
    return tokens


def temporal_step(k, seconds, tokens_per_second, rule):
    if rule == "int":
        return k * int(seconds) * tokens_per_second
    product = numpy.float32(numpy.float32(k) * numpy.float32(seconds))
    return int(numpy.float32(product * numpy.float32(tokens_per_second)))


def walk(tokens, ids, grids, tokens_per_second, rule):
    """Positions of one row without padding; `grids` yields (t, h, w, seconds) per kind."""
    streams, following, index = [[], [], []], 0, 0
    while index < len(tokens):
        kind = next((k for k in ("image", "video") if tokens[index] == ids[k]), None)
        if kind is None:
            for stream in streams:
                stream.append(following)
            following, index = following + 1, index + 1
            continue
        t, h, w, seconds = next(grids[kind])
        for k in range(t):
            step = temporal_step(k, seconds, tokens_per_second, rule)
            for y in range(h // 2):
                for x in range(w // 2):
                    for stream, offset in zip(streams, (step, y, x)):
                        stream.append(following + offset)
        index += t * h * w // 4
        following = max(max(stream) for stream in streams) + 1
    return streams


def walk_batch(case, ids, tokens_per_second):
    seconds = case["second_per_grid_ts"] or [1.0] * len(case["video_grid_thw"])
    grids = {
        "image": iter([(*grid, 0) for grid in case["image_grid_thw"]]),
        "video": iter([(*grid, s) for grid, s in zip(case["video_grid_thw"], seconds)]),
    }
    positions, deltas = [[], [], []], []
    for tokens, mask in zip(case["input_ids"], case["attention_mask"]):
        kept = [token for token, keep in zip(tokens, mask) if keep]
        streams = walk(kept, ids, grids, tokens_per_second, case["tstep"])
        deltas.append(max(max(stream) for stream in streams) + 1 - len(tokens))
        for axis, stream in enumerate(streams):
            values = iter(stream)
            positions[axis].append([next(values) if keep else 1 for keep in mask])
    return positions, deltas


def ask_reference(model, case):
    def tensor(values):
        return torch.tensor(values) if values else None

    positions, deltas = model.model.get_rope_index(
        torch.tensor(case["input_ids"]),
        tensor(case["image_grid_thw"]),
        tensor(case["video_grid_thw"]),
        second_per_grid_ts=tensor(case["second_per_grid_ts"]),
        attention_mask=torch.tensor(case["attention_mask"]),
    )
    return positions.tolist(), deltas.flatten().tolist()


def still_list():
    """(name, rows, seconds or None, padding side); the grids are read off the rows."""
    image = "image"
    still, wide, tall = (1, 4, 6), (1, 2, 14), (1, 10, 4)
    yield "text", [[7]], None, "left"
    yield "one token", [[1]], None, "left"
    yield "text batch", [[5], [2], [8]], None, "left"
    yield "text batch padded right", [[5], [2], [8]], None, "right"
    yield "image after text", [[3, (image, still), 3]], None, "left"
    yield "image first", [[(image, still), 2]], None, "left"
    yield "image last", [[4, (image, still)]], None, "left"
    yield "image alone", [[(image, (1, 2, 2))]], None, "left"
    yield "wide image", [[3, (image, wide), 3]], None, "left"
    yield "tall image", [[3, (image, tall), 3]], None, "left"
    yield "square image", [[2, (image, (1, 8, 8)), 5]], None, "left"
    yield "two images", [[2, (image, still), 3, (image, tall), 2]], None, "left"
    yield (
        "adjacent images",
        [[1, (image, still), (image, wide), (image, (1, 4, 4)), 1]],
        None,
        "left",
    )
    yield (
        "five images",
        [[n for g in (still, wide, tall, (1, 2, 2), still) for n in ((image, g), 1)]],
        None,
        "left",
    )
    yield (
        "stray vision marks",
        [[2, "vision_end", 1, "vision_start", 3, (image, still), 2]],
        None,
        "left",
    )
    yield (
        "images in a batch",
        [[2, (image, still), 3], [4, (image, tall), (image, wide), 1]],
        None,
        "left",
    )
    yield (
        "images in a batch padded right",
        [[2, (image, still), 3], [4, (image, tall), 1]],
        None,
        "right",
    )
    yield "text row beside image row", [[6], [2, (image, still), 3]], None, "left"
    yield "image row beside text row", [[2, (image, still), 3], [1], [30]], None, "left"


def video_list():
    image, video = "image", "video"
    still, tall = (1, 4, 6), (1, 10, 4)
    yield "still as video", [[2, (video, (1, 4, 6)), 3]], [1.0], "left"
    yield "video", [[2, (video, (4, 4, 4)), 3]], [1.0], "left"
    yield "video without seconds", [[2, (video, (3, 4, 4)), 3]], None, "left"
    yield "slow video", [[2, (video, (3, 4, 4)), 3]], [2.0], "left"
    yield "slower video", [[2, (video, (3, 2, 6)), 3]], [5.0], "left"
    yield "video of small frames", [[1, (video, (12, 2, 2)), 3]], [1.0], "left"
    yield "video of large frames", [[1, (video, (2, 14, 12)), 3]], [1.0], "left"
    yield "two videos", [[2, (video, (2, 4, 4)), 3, (video, (3, 2, 4)), 1]], [1.0, 2.0], "left"
    yield "image then video", [[2, (image, still), 1, (video, (3, 2, 4)), 3]], [1.0], "left"
    yield "video then image", [[2, (video, (3, 2, 4)), 1, (image, tall), 3]], [1.0], "left"
    yield (
        "videos in a batch",
        [[2, (video, (2, 4, 4)), 3], [5, (video, (3, 2, 4)), 1, (image, still)]],
        [2.0, 1.0],
        "left",
    )


def fractional_list():
    """Videos whose seconds per grid are not whole: here only the float rule keeps time."""
    video = "video"
    for seconds in (0.5, 0.25, 1.5, 1.001001, 2 / 2.9, 2 / 30, 0.999, 1 / 3, 2.75):
        yield f"video {seconds:.4g} s", [[2, (video, (6, 2, 4)), 3]], [seconds], "left"
    yield (
        "two fractional videos",
        [[1, (video, (4, 2, 2)), 2, (video, (5, 2, 4)), 3]],
        [0.5, 0.7],
        "left",
    )
    yield (
        "fractional batch",
        [[1, (video, (4, 2, 2)), 2], [(video, (9, 2, 2)), 9]],
        [0.4, 1.25],
        "left",
    )


def make_case(model_name, ids, spec, rule):
    name, rows, seconds, side = spec
    tokens = [row(ids, *parts) for parts in rows]
    width = max(len(line) for line in tokens)
    case = {"name": name, "model": model_name, "tstep": rule, "second_per_grid_ts": seconds}
    pads = [[ids["pad"]] * (width - len(line)) for line in tokens]
    zeros = [[0] * len(pad) for pad in pads]
    ones = [[1] * len(line) for line in tokens]
    if side == "left":
        case["input_ids"] = [pad + line for pad, line in zip(pads, tokens)]
        case["attention_mask"] = [zero + one for zero, one in zip(zeros, ones)]
    else:
        case["input_ids"] = [line + pad for pad, line in zip(pads, tokens)]
        case["attention_mask"] = [one + zero for zero, one in zip(zeros, ones)]
    for kind in ("image", "video"):
        blocks = [
            part[1] for line in rows for part in line if isinstance(part, tuple) and part[0] == kind
        ]
        case[f"{kind}_grid_thw"] = [list(grid) for grid in blocks]
    return case


def make_positions():
    cases = []
    for model_name in MODELS:
        model, ids = load_model(model_name), special_ids(model_name)
        per_second = model.config.vision_config.tokens_per_second
        for rule in ("int", "float"):
            stills = still_list() if rule == "int" else ()  # they do not depend on the rule
            for spec in (*stills, *video_list(), *fractional_list()):
                case = make_case(model_name, ids, spec, rule)
                positions, deltas = walk_batch(case, ids, per_second)
                if rule == "int" and (positions, deltas) != ask_reference(model, case):
                    raise SystemExit(f"golden: the walk differs from the reference: {case['name']}")
                cases.append(dict(case, position_ids=positions, rope_deltas=deltas))
    write_cases("positions.json", cases)


def grid_lists():
    """Grids in patches: window multiples, odd edges, thin strips, videos, several at once."""
    stills = """2x2 2x4 4x4 6x6 8x8 8x16 16x8 16x16 10x8 8x10 10x10 12x20 14x18 18x14 24x6 6x24
        2x40 40x2 4x34 22x26 32x24 30x34"""
    for size in stills.split():
        h, w = map(int, size.split("x"))
        yield [[1, h, w]]
    yield from ([[2, 8, 8]], [[2, 8, 12]], [[3, 6, 10]], [[5, 2, 2]], [[4, 18, 10]])
    yield [[1, 4, 6], [1, 8, 4]]
    yield [[1, 8, 8], [1, 8, 8]]
    yield [[1, 2, 2], [1, 10, 18], [1, 16, 6]]
    yield [[2, 6, 6], [1, 12, 10]]
    yield [[1, 2, 28], [3, 10, 4], [1, 8, 8], [2, 14, 2]]
    yield [[1, 2, 2]] * 6


def make_windows():
    tower = load_model("tiny").model.visual
    cases = []
    for grids in grid_lists():
        order, edges = tower.get_window_index(torch.tensor(grids))
        frames = [h * w for t, h, w in grids for _ in range(t)]
        cases.append(
            {
                "grid_thw": grids,
                "perm": order.tolist(),
                "cu_window": torch.unique_consecutive(torch.tensor(edges)).tolist(),
                "cu_full": [0, *numpy.cumsum(frames).tolist()],
            }
        )
    write_cases("windows.json", cases)
