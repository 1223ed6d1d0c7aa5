"""Clips: things that come, move and go at known times, and people to whom something may happen.

Before: generator.py gives a random stream and a level.   After: features.py, evaluate.py.
"""

from dataclasses import dataclass

import numpy
from PIL import Image

from documents import fenced
from drawing import Canvas
from items import Item, Lesson, Place, Question, seen_clip_size
from scenes import alone, article, draw_thing
from words import COLOURS, SHAPES

WHEN_PROMPT = "Give the query: '{}', when does the described content occur in the video?"
EVENTS_PROMPT = (
    "Localize a series of activity events in the video, output the start and end timestamp for "
    "each event, and describe each event with sentences. Provide the result in json format with "
    "'mm:ss.ff' format for time depiction."
)
# Width and height of source frames: from, to.
FRAME_SIZES = (((112, 124), (112, 124)), ((150, 180), (112, 130)), ((112, 130), (150, 180)))
# What a thing does, and its step in parts of the picture over the whole event.
ACTIONS = (
    ("stands still", 0, 0),
    ("moves to the right", 0.55, 0),
    ("moves to the left", -0.55, 0),
    ("moves up", 0, -0.55),
    ("moves down", 0, 0.55),
)


@dataclass
class Event:
    first: int  # frame
    last: int  # frame, included
    shape: int
    colour: int
    action: int
    size: float
    x: float  # middle of the path
    y: float

    @property
    def words(self):
        label = f"{COLOURS[self.colour][0]} {SHAPES[self.shape][0]}"
        return f"{article(label)} {ACTIONS[self.action][0]}"

    def box(self, frame, canvas):
        part = (frame - self.first) / max(1, self.last - self.first) - 0.5
        _, dx, dy = ACTIONS[self.action]
        x = self.x + part * dx * canvas.width
        y = self.y + part * dy * canvas.height
        half = self.size / 2
        return [x - half, y - half, x + half, y + half]


def frame_size(rng):
    return [rng.randint(*limits) for limits in rng.choice(FRAME_SIZES)]


def blank(size, background):
    return Canvas(*size, background, seen_clip_size)


def grain(picture, noise, strength):
    pixels = numpy.asarray(picture, numpy.float32)
    pixels = pixels + noise.normal(0, strength, pixels.shape[:2])[..., None]
    return Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))


def timing(rng, level):
    """Frames (even) and frames a second."""
    return 2 * rng.randint(4, 5 + round(3 * level)), 2.0 if rng.random() < 0.75 else 1.0


def make_events(rng, frame_count, most, canvas):
    """Events of three frames or more, one after the other, with a gap between them."""
    events, start = [], rng.randint(0, 3)
    while len(events) < most and start + 3 <= frame_count:
        last = min(frame_count - 1, start + rng.randint(2, max(3, frame_count // most)))
        action, size = rng.randrange(len(ACTIONS)), rng.uniform(28, 40)
        _, dx, dy = ACTIONS[action]
        x_room = size / 2 + abs(dx) / 2 * canvas.width + 2
        y_room = size / 2 + abs(dy) / 2 * canvas.height + 2
        x = rng.uniform(min(x_room, canvas.width / 2), max(canvas.width - x_room, canvas.width / 2))
        y = rng.uniform(
            min(y_room, canvas.height / 2), max(canvas.height - y_room, canvas.height / 2)
        )
        shape, colour = rng.randrange(len(SHAPES)), rng.randrange(len(COLOURS))
        events.append(Event(start, last, shape, colour, action, size, x, y))
        start = last + 1 + rng.randint(1, 3)
    return events


def event_clip(rng, level, most):
    size = frame_size(rng)
    background = tuple(rng.randint(205, 255) for _ in range(3))
    frame_count, fps = timing(rng, level)
    events = make_events(rng, frame_count, most, blank(size, background))
    noise, strength = numpy.random.default_rng(rng.getrandbits(32)), rng.uniform(0, 6) * level
    frames, drawn = [], []
    for index in range(frame_count):
        canvas = blank(size, background)
        for event in events:
            if event.first <= index <= event.last:
                box = event.box(index, canvas)
                draw_thing(canvas, event.shape, box, COLOURS[event.colour][2])
                canvas.region(SHAPES[event.shape][0], event.colour, box)
        frames.append(grain(canvas.picture, noise, strength))
        drawn.append(canvas.drawn())
    return frames, fps, events, drawn


def when_question(event, fps):
    """(prompt, answer, truth)."""
    start, end = event.first / fps, (event.last + 1) / fps
    answer = f"The given query happens in {start:.1f} - {end:.1f} seconds."
    return WHEN_PROMPT.format(event.words), answer, {"interval": [start, end]}


def clip_when(rng, level):
    frames, fps, events, _ = event_clip(rng, level, rng.randint(1, 1 + round(2 * level)))
    only = alone(events, lambda event: event.words)
    if not only:
        return clip_when(rng, level)
    prompt, answer, truth = when_question(rng.choice(only), fps)
    return Item("clip_when", prompt, answer, frames, truth, fps=fps)


def clock(seconds):
    return f"{int(seconds // 60):02d}:{seconds % 60:05.2f}"


def events_question(events, fps):
    """(prompt, answer, truth)."""
    entries, intervals = [], []
    for event in events:
        start, end = event.first / fps, (event.last + 1) / fps
        sentence = event.words[0].upper() + event.words[1:] + "."
        entries.append(
            {"start_time": clock(start), "end_time": clock(end), "description": sentence}
        )
        intervals.append([start, end, sentence])
    return EVENTS_PROMPT, fenced(entries), {"events": intervals}


def clip_events(rng, level):
    frames, fps, events, _ = event_clip(rng, level, rng.randint(1, 1 + round(2 * level)))
    prompt, answer, truth = events_question(events, fps)
    return Item("clip_events", prompt, answer, frames, truth, fps=fps)


def event_lesson(rng, level):
    """A clip asked for each of its events and for all of them."""
    frames, fps, events, drawn = event_clip(rng, level, rng.randint(1, 1 + round(2 * level)))
    canvas = blank(frames[0].size, "white")
    questions = []
    for event in alone(events, lambda event: event.words):
        prompt, answer, _ = when_question(event, fps)
        dash = answer.index(" - ")
        first, last = event_places(event, canvas)
        places = [Place(26, dash, *first), Place(dash + 3, answer.index(" seconds"), *last)]
        questions.append(Question(prompt, answer, places))
    prompt, answer, _ = events_question(events, fps)
    places, start = [], 0
    for event in events:
        start = answer.index("{", start)
        end, told = answer.index('"end_time"', start), answer.index('"description"', start)
        first, last = event_places(event, canvas)
        places += [Place(start, end, *first), Place(end, told, *last)]
        start = answer.index("}", told)
        places.append(Place(told, start, *first))
    questions.append(Question(prompt, answer, places))
    return Lesson(frames, questions, drawn, fps)


def event_places(event, canvas):
    """(frame, x, y) where the event begins and where it ends."""
    for frame in (event.first, event.last):
        x1, y1, x2, y2 = event.box(frame, canvas)
        yield frame, (x1 + x2) / 2, (y1 + y2) / 2


def draw_person(canvas, x, ground, height, stride, colour, lying):
    """A figure of a head, a body and two legs, on its feet or on the ground."""
    if lying:
        y = ground - height * 0.12
        canvas.ellipse((x - height * 0.5, y - 5, x - height * 0.5 + 10, y + 5), fill=colour)
        canvas.line([(x - height * 0.35, y), (x + height * 0.45, y)], colour, 5)
        return
    top, hip = ground - height, ground - height * 0.42
    canvas.ellipse((x - 5, top, x + 5, top + 10), fill=colour)
    canvas.line([(x, top + 9), (x, hip)], colour, 5)
    for side in (-1, 1):
        canvas.line([(x, hip), (x + side * stride, ground)], colour, 3)


def draw_fire(canvas, x, ground, size):
    canvas.polygon(
        [(x - size / 2, ground), (x, ground - size * 1.4), (x + size / 2, ground)], (235, 80, 20)
    )
    canvas.polygon(
        [(x - size / 4, ground), (x, ground - size * 0.7), (x + size / 4, ground)], (250, 210, 60)
    )


def street_clip(rng, level):
    """People walking, to whom something may happen. Returns (frames, fps, kind, begin, drawn)."""
    size = frame_size(rng)
    wall = tuple(rng.randint(190, 250) for _ in range(3))
    floor = tuple(v - rng.randint(40, 80) for v in wall)
    frame_count, fps = timing(rng, level)
    noise, strength = numpy.random.default_rng(rng.getrandbits(32)), rng.uniform(0, 6) * level
    kind = rng.choice(("normal", "normal", "fall", "fire"))
    begin = rng.randint(2, frame_count - 3)
    people = [
        (
            rng.uniform(0.1, 0.9),
            rng.uniform(-0.05, 0.05),
            rng.uniform(36, 50),
            rng.uniform(0, 3),
            tuple(rng.randint(0, 120) for _ in range(3)),
        )
        for _ in range(rng.randint(1, 2))
    ]
    fire_x, fire_size = rng.uniform(0.2, 0.8), rng.uniform(18, 30)
    frames, drawn = [], []
    for index in range(frame_count):
        canvas = blank(size, wall)
        ground = canvas.height * 0.85
        canvas.rectangle((0, canvas.height * 0.7, canvas.width, canvas.height), fill=floor)
        for number, (x, speed, height, phase, colour) in enumerate(people):
            fallen = kind == "fall" and number == 0 and index >= begin
            steps = min(index, begin) if kind == "fall" and number == 0 else index
            place = (x + speed * steps - 0.08) % 1.0 * (canvas.width - 50) + 25
            stride = 2 + 5 * abs((index + phase) % 4 - 2) / 2
            draw_person(canvas, place, ground, height, stride, colour, fallen)
            half, tall = (height / 2, height / 4) if fallen else (8, height)
            box = (place - half, ground - tall, place + half, ground)
            canvas.region("lying person" if fallen else "person", None, box)
        if kind == "fire" and index >= begin:
            x, high = fire_x * canvas.width, fire_size * rng.uniform(0.85, 1.1)
            draw_fire(canvas, x, ground, high)
            canvas.region("fire", None, (x - high / 2, ground - 1.4 * high, x + high / 2, ground))
        frames.append(grain(canvas.picture, noise, strength))
        drawn.append(canvas.drawn())
    return frames, fps, kind, begin, drawn


def abnormal_question(kind, begin, frame_count, fps, chinese):
    """(prompt, answer, truth)."""
    start, end = begin / fps, frame_count / fps
    answers = {
        "normal": ("No. Everything looks normal.", "没有异常。"),
        "fall": (
            f"Yes. A person falls down at {start:.1f} - {end:.1f} seconds.",
            f"有。{start:.1f} - {end:.1f}秒有人摔倒。",
        ),
        "fire": (
            f"Yes. A fire burns at {start:.1f} - {end:.1f} seconds.",
            f"有。{start:.1f} - {end:.1f}秒着火。",
        ),
    }
    prompt = "视频中有异常情况吗？" if chinese else "Is there anything abnormal in the video?"
    truth = {"kind": kind, "interval": None if kind == "normal" else [start, end]}
    return prompt, answers[kind][chinese], truth


def clip_abnormal(rng, level):
    frames, fps, kind, begin, _ = street_clip(rng, level)
    chinese = rng.random() < 0.25
    prompt, answer, truth = abnormal_question(kind, begin, len(frames), fps, chinese)
    return Item("clip_abnormal", prompt, answer, frames, truth, fps=fps)


def street_lesson(rng, level):
    frames, fps, kind, begin, drawn = street_clip(rng, level)
    questions = []
    for chinese in (False, True):
        prompt, answer, _ = abnormal_question(kind, begin, len(frames), fps, chinese)
        dash = answer.find(" - ")
        places = [Place(0, dash, begin), Place(dash, len(answer), len(frames) - 1)]
        questions.append(Question(prompt, answer, places if dash > 0 else ()))
    return Lesson(frames, questions, drawn, fps)
