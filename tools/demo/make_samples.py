#!/usr/bin/env python3
"""Draws the samples that ship with the project, and writes down their truths.

    make_samples.py [--out samples]

Every sample is the first item of split `sample` (no seed of which is trained on) that shows what
its name says; whether the model answers it right plays no part. Pictures are PNG, so their pixels
are exactly as drawn; a clip is a folder of frames. truths.json has the form of evaluate.py's items.
Before: generator.py.   After: run_demo.py shows some, record_answers.py notes the answers for the
tests.
"""

import argparse
import io
import json
import shutil
from pathlib import Path

from generator import make_item

SPLIT = "sample"
SEARCHED = 2000  # items of a skill looked at before giving up
MOST_BYTES = 120_000  # of one sample: noise makes large files
FIELDS = ("skill", "prompt", "answer", "truth", "fps", "tool", "picture_first")


def is_chinese(text):
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def is_full(rows):
    return len(rows) >= 4 and all(all(row) for row in rows)


def boxes(item, kind):
    return sum(kind in entry for entry in item.truth["boxes"])


# Name: (skill, what the item must show).
SAMPLES = {
    "page": ("read", lambda i: not is_chinese(i.prompt + i.answer) and i.answer.count("\n") >= 3),
    "page_chinese": ("read", lambda i: is_chinese(i.answer) and i.answer.count("\n") >= 1),
    "table": ("table", lambda i: not is_chinese(i.prompt + i.answer) and is_full(i.truth["rows"])),
    "receipt": ("key_values", lambda i: "company" in i.prompt),
    "invoice_chinese": ("key_values", lambda i: is_chinese(i.prompt)),
    "lines": ("spotting", lambda i: boxes(i, "bbox_2d") >= 3),
    "scene": ("grounding", lambda i: not is_chinese(i.prompt) and boxes(i, "bbox_2d") >= 3),
    "points": ("grounding", lambda i: not is_chinese(i.prompt) and boxes(i, "point_2d") >= 2),
    "shapes": ("counting", lambda i: not is_chinese(i.prompt) and i.answer >= "3"),
    "shapes_chinese": ("counting", lambda i: is_chinese(i.prompt) and i.answer >= "2"),
    "objects": ("describing", lambda i: i.answer.startswith("From left") and " and " in i.answer),
    "colour": ("describing", lambda i: i.prompt.startswith("What colour")),
    "screen": ("screen", lambda i: "button" in i.prompt),
    "screen_icon": ("screen", lambda i: "icon" in i.prompt),
    "clip_move": ("clip_when", lambda i: "moves" in i.prompt and len(i.frames) >= 10),
    "clip_events": ("clip_events", lambda i: len(i.truth["events"]) >= 2),
    "clip_fall": ("clip_abnormal", lambda i: i.truth["kind"] == "fall" and "No" not in i.answer),
}


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def first_item(skill, wanted):
    """(index, item, its files' bytes) of the first small enough item that shows what is wanted."""
    for index in range(SEARCHED):
        item = make_item(skill, SPLIT, index)
        if wanted(item):
            files = [png(frame) for frame in item.frames]
            if sum(map(len, files)) <= MOST_BYTES:
                return index, item, files
    raise SystemExit(f"make_samples: no item of '{skill}' among {SEARCHED} shows what is wanted")


def write_sample(out, name, skill, wanted):
    """Writes the pictures of one sample; returns its record."""
    index, item, files = first_item(skill, wanted)
    names = [f"{name}.png"]
    if item.is_clip:
        names = [f"{name}/{number:02d}.png" for number in range(len(files))]
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir()
    for file, content in zip(names, files):
        (out / file).write_bytes(content)
    if item.tool:
        tools = json.dumps([item.tool], ensure_ascii=False, indent=1) + "\n"
        (out / f"{name}.tools.json").write_text(tools, encoding="utf-8")
    fields = {field: getattr(item, field) for field in FIELDS}
    return {"id": name, "item": f"{SPLIT}/{skill}/{index}", "frames": names, **fields}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[2] / "samples"
    parser.add_argument("--out", type=Path, default=default, help="folder of the samples")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    records = [write_sample(out, name, *what) for name, what in SAMPLES.items()]
    text = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    (out / "truths.json").write_text(text, encoding="utf-8")
    total = sum((out / name).stat().st_size for record in records for name in record["frames"])
    print(f"{out}: {len(records)} samples, {total} bytes of pictures")


if __name__ == "__main__":
    main()
