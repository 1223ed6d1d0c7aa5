#!/usr/bin/env python3
"""Makes the items of the demo model's world: an item is a function of skill, split and index.

    generator.py --sheet OUT.png [--skill NAME] [--count N] [--split train] [--level 1.0]

draws a sheet of samples with their prompts and answers; boxes, points and targets are drawn on the
picture as the model sees it. Before: nothing.   After: train.py, evaluate.py.
"""

import argparse
import sys

from PIL import Image, ImageDraw

import clips
import documents
import scenes
import screens
from drawing import font
from items import SPLITS, item_random, seen_clip_size, seen_size

MAKERS = {
    "read": documents.read,
    "table": documents.table,
    "key_values": documents.key_values,
    "spotting": documents.spotting,
    "grounding": scenes.grounding,
    "counting": scenes.counting,
    "describing": scenes.describing,
    "screen": screens.screen,
    "clip_when": clips.clip_when,
    "clip_events": clips.clip_events,
    "clip_abnormal": clips.clip_abnormal,
}
SKILLS = tuple(MAKERS)
LESSONS = {
    "page": documents.page_lesson,
    "paper": documents.paper_lesson,
    "table": documents.table_lesson,
    "scene": scenes.scene_lesson,
    "screen": screens.screen_lesson,
    "event_clip": clips.event_lesson,
    "street_clip": clips.street_lesson,
}


def make_item(skill, split, index, level=1.0):
    """The item number `index` of a skill. `level` from 0 (easiest) to 1 (the world as promised)."""
    return MAKERS[skill](item_random(skill, split, index), level)


def make_lesson(kind, index, level=1.0, split="train"):
    """The lesson number `index` of a kind; its random stream is shared with no item."""
    return LESSONS[kind](item_random(kind + " lesson", split, index), level)


def seen_picture(item):
    """The picture (frames side by side) after resizing, with the truth drawn on it."""
    frames = item.frames[:: max(1, len(item.frames) // 6)]
    resized = seen_clip_size if item.is_clip else seen_size
    height, width = resized(frames[0].height, frames[0].width)
    sheet = Image.new("RGB", (width * len(frames), height))
    for place, frame in enumerate(frames):
        sheet.paste(frame.resize((width, height), Image.BICUBIC), (place * width, 0))
    draw = ImageDraw.Draw(sheet)
    boxes = [e["bbox_2d"] for e in item.truth.get("boxes", []) if "bbox_2d" in e]
    boxes += [item.truth["target"]] if item.truth.get("target") else []
    for box in boxes:
        draw.rectangle(box, outline=(255, 0, 255))
    points = [e["point_2d"] for e in item.truth.get("boxes", []) if "point_2d" in e]
    points += [item.truth["arguments"]["coordinate"]] if item.truth.get("target") else []
    for x, y in points:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(255, 0, 255))
    return sheet


def wrapped(line, face, room):
    """The line in parts of at most `room` pixels; Chinese has no spaces, so any may break."""
    parts = [""]
    for letter in line:
        if face.getlength(parts[-1] + letter) > room:
            parts.append("")
        parts[-1] += letter
    return parts


def contact_sheet(items, columns=3, cell_width=620):
    """A picture of all items with prompt and answer beside each."""
    face, cells = font("wqy-microhei.ttc", 13), []
    for item in items:
        seen = seen_picture(item)
        if seen.width > cell_width:
            seen = seen.resize((cell_width, seen.height * cell_width // seen.width))
        words = [*f"[{item.skill}] {item.prompt}".split("\n"), "", *item.answer.split("\n")]
        beside = seen.width < cell_width - 250
        room = cell_width - seen.width - 20 if beside else cell_width
        lines = [part for line in words for part in wrapped(line, face, room)]
        size = (
            cell_width,
            max(seen.height, 18 * len(lines)) if beside else seen.height + 18 * len(lines) + 6,
        )
        cell = Image.new("RGB", (size[0], size[1] + 12), "white")
        cell.paste(seen, (0, 0))
        start = (seen.width + 10, 0) if beside else (0, seen.height + 4)
        ImageDraw.Draw(cell).text(start, "\n".join(lines), "black", face, spacing=3)
        cells.append(cell)
    heights = [0] * columns
    places = []
    for cell in cells:
        column = heights.index(min(heights))
        places.append((column * (cell_width + 16), heights[column]))
        heights[column] += cell.height
    sheet = Image.new("RGB", (columns * (cell_width + 16), max(heights)), (200, 200, 200))
    for cell, place in zip(cells, places):
        sheet.paste(cell, place)
    return sheet


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", required=True, metavar="OUT.png", help="picture to write")
    parser.add_argument("--skill", choices=SKILLS, help="only this skill")
    parser.add_argument("--count", type=int, default=2, help="samples of each skill")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--start", type=int, default=0, help="index of the first sample")
    parser.add_argument("--level", type=float, default=1.0)
    arguments = parser.parse_args()
    skills = [arguments.skill] if arguments.skill else SKILLS
    indices = range(arguments.start, arguments.start + arguments.count)
    items = [make_item(s, arguments.split, i, arguments.level) for s in skills for i in indices]
    contact_sheet(items).save(arguments.sheet)
    print(f"{arguments.sheet}: {len(items)} items", file=sys.stderr)


if __name__ == "__main__":
    main()
