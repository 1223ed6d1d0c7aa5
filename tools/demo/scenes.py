"""Scenes of coloured shapes and simple objects: grounding, counting, describing.

Before: generator.py gives a random stream and a level.   After: features.py, evaluate.py.
"""

import math
from dataclasses import dataclass

from documents import fenced
from drawing import Canvas, weather
from items import Item, Lesson, Place, Question, pick_size
from words import COLOURS, SHAPES

MOST_THINGS = 4
SCENE_SHAPES = ((6, 6), (8, 6), (6, 8), (10, 7), (7, 7), (8, 8), (9, 5), (5, 9), (7, 10))


@dataclass
class Thing:
    shape: int
    colour: int
    box: list  # resized pixels

    @property
    def label(self):
        return f"{COLOURS[self.colour][0]} {SHAPES[self.shape][0]}"

    @property
    def chinese_label(self):
        return f"{COLOURS[self.colour][1]}的{SHAPES[self.shape][2]}"

    @property
    def centre_x(self):
        return (self.box[0] + self.box[2]) / 2


def draw_thing(canvas, shape, box, colour):
    """Draws a shape so that it fills its box."""
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1

    def at(*points):
        return [(x1 + x * w, y1 + y * h) for x, y in points]

    def part(left, top, right, bottom):
        return (x1 + left * w, y1 + top * h, x1 + right * w, y1 + bottom * h)

    name = SHAPES[shape][0]
    shadow = tuple(value // 2 + 30 for value in colour)
    if name == "circle":
        canvas.ellipse(box, fill=colour)
    elif name == "square":
        canvas.rectangle(box, fill=colour)
    elif name == "triangle":
        canvas.polygon(at((0.5, 0), (1, 1), (0, 1)), colour)
    elif name == "star":
        spikes = [(0.5 if i % 2 == 0 else 0.2, i * math.pi / 5) for i in range(10)]
        star = [(r * math.sin(a), -r * math.cos(a)) for r, a in spikes]
        left, top = min(x for x, _ in star), min(y for _, y in star)
        wide, high = -2 * left, max(y for _, y in star) - top
        canvas.polygon(at(*(((x - left) / wide, (y - top) / high) for x, y in star)), colour)
    elif name == "heart":
        canvas.ellipse(part(0, 0, 0.53, 0.55), fill=colour)
        canvas.ellipse(part(0.47, 0, 1, 0.55), fill=colour)
        canvas.polygon(at((0.04, 0.4), (0.5, 0.25), (0.96, 0.4), (0.5, 1)), colour)
    elif name == "cross":
        canvas.rectangle(part(0.33, 0, 0.67, 1), fill=colour)
        canvas.rectangle(part(0, 0.33, 1, 0.67), fill=colour)
    elif name == "house":
        canvas.rectangle(part(0.1, 0.45, 0.9, 1), fill=colour)
        canvas.polygon(at((0.5, 0), (1, 0.45), (0, 0.45)), shadow)
        canvas.rectangle(part(0.4, 0.65, 0.6, 1), fill=(250, 240, 220))
    elif name == "tree":
        canvas.rectangle(part(0.42, 0.6, 0.58, 1), fill=(120, 80, 40))
        canvas.ellipse(part(0, 0, 1, 0.7), fill=colour)
    elif name == "car":
        canvas.polygon(at((0.2, 0.45), (0.32, 0), (0.7, 0), (0.85, 0.45)), shadow)
        canvas.rectangle(part(0, 0.4, 1, 0.8), fill=colour)
        canvas.ellipse(part(0.12, 0.6, 0.36, 1), fill=(40, 40, 40))
        canvas.ellipse(part(0.64, 0.6, 0.88, 1), fill=(40, 40, 40))
    elif name == "cup":
        canvas.ellipse(part(0.6, 0.2, 1, 0.75), fill=shadow)
        canvas.ellipse(part(0.68, 0.32, 0.9, 0.63), fill=canvas.background)
        canvas.polygon(at((0, 0), (0.8, 0), (0.7, 1), (0.1, 1)), colour)
    elif name == "fish":
        canvas.polygon(at((0.65, 0.5), (1, 0.05), (1, 0.95)), shadow)
        canvas.ellipse(part(0, 0, 0.8, 1), fill=colour)
        canvas.ellipse(part(0.15, 0.3, 0.25, 0.45), fill=(255, 255, 255))


def place(canvas, rng, count):
    """Boxes that do not touch and whose centres have distinct places from left to right."""
    boxes = []
    smallest, largest = 34, min(64, canvas.width / 3, canvas.height / 2.2)
    for _ in range(60):
        if len(boxes) == count:
            break
        size = rng.uniform(smallest, max(smallest + 2, largest))
        width, height = size * rng.uniform(0.9, 1.1), size * rng.uniform(0.9, 1.1)
        x = rng.uniform(3, canvas.width - width - 3)
        y = rng.uniform(3, canvas.height - height - 3)
        box = [x, y, x + width, y + height]
        apart = all(
            (box[0] > b[2] + 4 or box[2] < b[0] - 4 or box[1] > b[3] + 4 or box[3] < b[1] - 4)
            and abs(box[0] + box[2] - b[0] - b[2]) > 20
            for b in boxes
        )
        if apart:
            boxes.append(box)
    return boxes


def scene(rng, level, most):
    """A canvas with things on it, in order from left to right."""
    background = tuple(rng.randint(205, 255) for _ in range(3))
    canvas = Canvas(*pick_size(rng, max(level, 0.5), SCENE_SHAPES), background)
    boxes = place(canvas, rng, rng.randint(1, max(2, round(most * (0.4 + 0.6 * level)))))
    few_shapes = rng.sample(range(len(SHAPES)), rng.choice((1, 2, 3, 3, len(SHAPES))))
    few_colours = rng.sample(range(len(COLOURS)), rng.choice((1, 2, 3, 3, len(COLOURS))))
    things = []
    for box in sorted(boxes, key=lambda b: b[0] + b[2]):
        thing = Thing(rng.choice(few_shapes), rng.choice(few_colours), box)
        shade = [min(255, max(0, v + rng.randint(-12, 12))) for v in COLOURS[thing.colour][2]]
        draw_thing(canvas, thing.shape, box, tuple(shade))
        canvas.region(SHAPES[thing.shape][0], thing.colour, box)
        things.append(thing)
    canvas.picture = weather(canvas.picture, rng, 0.3 + 0.7 * level)
    return canvas, things


def grounding_question(rng, canvas, things):
    """(prompt, answer, truth)."""
    chinese = rng.random() < 0.25
    points = rng.random() < 0.3
    chosen = rng.choice(things)
    mode = rng.choice(("label", "shape", "colour", "all"))
    found, english, local = {
        "label": (
            [t for t in things if t.label == chosen.label],
            chosen.label,
            chosen.chinese_label,
        ),
        "shape": (
            [t for t in things if t.shape == chosen.shape],
            SHAPES[chosen.shape][0],
            SHAPES[chosen.shape][2],
        ),
        "colour": (
            [t for t in things if t.colour == chosen.colour],
            f"{COLOURS[chosen.colour][0]} object",
            f"{COLOURS[chosen.colour][1]}的物体",
        ),
        "all": (things, "object", "物体"),
    }[mode]
    entries = []
    for thing in found:
        label = thing.chinese_label if chinese else thing.label
        x1, y1, x2, y2 = thing.box
        if points:
            entry = {"point_2d": canvas.whole_point((x1 + x2) / 2, (y1 + y2) / 2), "label": label}
        else:
            entry = {"bbox_2d": canvas.whole_box(thing.box), "label": label}
        entries.append(entry)
    if chinese:
        form = "点" if points else "框"
        prompt = f"以{form}的形式定位图中每个{local}，以JSON格式输出其坐标。"
    elif points:
        prompt = f"Point to each {english}, output the coordinates in JSON format."
    else:
        prompt = rng.choice(
            (
                f"Outline the position of each {english} and output all the coordinates in JSON "
                "format.",
                f"Locate each {english}, output its bbox coordinates using JSON format.",
            )
        )
    boxes = [canvas.whole_box(thing.box) for thing in found]
    return prompt, fenced(entries), {"boxes": entries, "regions": boxes}


def grounding(rng, level):
    canvas, things = scene(rng, level, MOST_THINGS)
    prompt, answer, truth = grounding_question(rng, canvas, things)
    return Item("grounding", prompt, answer, [canvas.picture], truth)


def counting_question(rng, things):
    """(prompt, answer)."""
    chinese = rng.random() < 0.35
    chosen = rng.choice(things)
    shape, colour = chosen.shape, chosen.colour
    if rng.random() < 0.2:  # a question about something that may be absent
        shape, colour = rng.randrange(len(SHAPES)), rng.randrange(len(COLOURS))
    mode = rng.choice(("all", "shape", "shape", "colour", "both"))
    count = sum(
        {
            "all": True,
            "shape": t.shape == shape,
            "colour": t.colour == colour,
            "both": t.shape == shape and t.colour == colour,
        }[mode]
        for t in things
    )
    if chinese:
        measure = SHAPES[shape][3] if mode in ("shape", "both") else "个"
        name = {
            "all": "物体",
            "shape": SHAPES[shape][2],
            "colour": f"{COLOURS[colour][1]}的物体",
            "both": f"{COLOURS[colour][1]}的{SHAPES[shape][2]}",
        }[mode]
        prompt = f"图中有几{measure}{name}？"
    else:
        name = {
            "all": "objects",
            "shape": SHAPES[shape][1],
            "colour": f"{COLOURS[colour][0]} objects",
            "both": f"{COLOURS[colour][0]} {SHAPES[shape][1]}",
        }[mode]
        prompt = f"How many {name} are there in the image?"
    return prompt, str(count)


def counting(rng, level):
    canvas, things = scene(rng, level, MOST_THINGS)
    prompt, answer = counting_question(rng, things)
    return Item("counting", prompt, answer, [canvas.picture], {"exact": answer})


def article(label):
    return f"an {label}" if label[0] in "aeiou" else f"a {label}"


def join(parts, last):
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def description(things, chinese):
    if chinese:
        names = [f"一{SHAPES[t.shape][3]}{t.chinese_label}" for t in things]
        return f"从左到右：{'，'.join(names)}。"
    return f"From left to right: {join([article(t.label) for t in things], 'and')}."


def alone(things, key):
    """Those that no other equals in `key`."""
    return [t for t in things if sum(key(o) == key(t) for o in things) == 1]


def colour_question(rng, things, chinese):
    only = alone(things, lambda t: t.shape)
    if not only:
        return None
    thing = rng.choice(only)
    if chinese:
        return f"图中的{SHAPES[thing.shape][2]}是什么颜色？", f"{COLOURS[thing.colour][1]}。"
    answer = f"{COLOURS[thing.colour][0].capitalize()}."
    return f"What colour is the {SHAPES[thing.shape][0]}?", answer


def shape_question(rng, things, chinese):
    only = alone(things, lambda t: t.colour)
    if not only:
        return None
    thing = rng.choice(only)
    if chinese:
        return f"{COLOURS[thing.colour][1]}的物体是什么？", f"{SHAPES[thing.shape][2]}。"
    answer = f"{article(SHAPES[thing.shape][0]).capitalize()}."
    return f"What is the {COLOURS[thing.colour][0]} object?", answer


def presence_question(rng, things, chinese):
    shape, colour = rng.choice(things).shape, rng.choice(things).colour
    if rng.random() < 0.3:
        shape = rng.randrange(len(SHAPES))
    thing = Thing(shape, colour, [])
    present = any(t.label == thing.label for t in things)
    if chinese:
        return f"图中有{thing.chinese_label}吗？", "有。" if present else "没有。"
    return f"Is there {article(thing.label)} in the image?", "Yes." if present else "No."


def side_question(rng, things, chinese):
    only = alone(things, lambda t: t.label)
    if len(only) < 2:
        return None
    one, other = rng.sample(only, 2)
    left = one.centre_x < other.centre_x
    if chinese:
        prompt = f"{one.chinese_label}在{other.chinese_label}的左边吗？"
        return prompt, "是。" if left else "不是。"
    return f"Is the {one.label} to the left of the {other.label}?", "Yes." if left else "No."


def describing_question(rng, things):
    """(prompt, answer, kind of question)."""
    chinese = rng.random() < 0.35
    kind = rng.choice(("describe", "colour", "colour", "shape", "presence", "side"))
    makers = {
        "colour": colour_question,
        "shape": shape_question,
        "presence": presence_question,
        "side": side_question,
    }
    found = makers[kind](rng, things, chinese) if kind in makers else None
    if found is not None:
        return *found, kind
    prompt = rng.choice(
        ("描述这张图片。",) if chinese else ("Describe this image.", "What is in this image?")
    )
    return prompt, description(things, chinese), "describe"


def describing(rng, level):
    canvas, things = scene(rng, level, MOST_THINGS)
    prompt, answer, kind = describing_question(rng, things)
    truth = {"exact": answer, "kind": kind}
    return Item("describing", prompt, answer, [canvas.picture], truth)


def scene_lesson(rng, level):
    """A scene with questions of every sort, each prompt once."""
    canvas, things = scene(rng, level, MOST_THINGS)
    questions = []
    for _ in range(2):
        prompt, answer, truth = grounding_question(rng, canvas, things)
        questions.append(Question(prompt, answer, entry_places(answer, truth["regions"])))
        questions += [Question(*counting_question(rng, things)) for _ in range(2)]
        for _ in range(2):
            prompt, answer, kind = describing_question(rng, things)
            listed = listed_places(canvas, answer, things) if kind == "describe" else ()
            questions.append(Question(prompt, answer, listed))
    different = {question.prompt: question for question in questions}
    return Lesson([canvas.picture], list(different.values()), [canvas.drawn()])


def entry_places(answer, regions):
    """Of a fenced list with one entry a region."""
    places, start = [], 0
    for x1, y1, x2, y2 in regions:
        start = answer.index("{", start)
        end = answer.index("}", start)
        places.append(Place(start, end, 0, (x1 + x2) / 2, (y1 + y2) / 2))
        start = end
    return places


def listed_places(canvas, answer, things):
    """Of a description of all things from left to right."""
    places, start = [], answer.find("left to right") + 1
    for thing in things:
        label = thing.chinese_label if "：" in answer else thing.label
        start = answer.index(label, start)
        x1, y1, x2, y2 = canvas.whole_box(thing.box)
        places.append(Place(start, start + len(label), 0, (x1 + x2) / 2, (y1 + y2) / 2))
        start += len(label)
    return places
