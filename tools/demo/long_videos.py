"""Long videos in which things happen at known times: what `qwenvl video localize` is tried on.

Before: clips.py says what a clip of the demo's world looks like.   After: localise.py asks for the
events. Most of the time nothing happens; groups of one to three events interrupt it. The events of
a video differ from each other in thing, colour or action, and each of them may be asked for while
the others distract. A video is a function of its length and number.

    python3 tools/demo/long_videos.py --seconds 300 --number 0 --out long.mp4
"""

import argparse
import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy

from clips import ACTIONS, Event, blank
from scenes import draw_thing
from words import COLOURS, SHAPES

FPS = 8
SIZES = ((112, 112), (168, 112), (112, 168))  # that the model sees with their own proportions
EVENT_SECONDS = (2.0, 6.0)
GAP_SECONDS = (0.6, 1.6)  # between the events of a group
MOST_EVENTS = 3  # of a group, which takes at most 7.5 seconds
GROUP_SECONDS = 7.5
PAUSE_SECONDS = (6.0, 50.0)  # between groups
GRAINS = 16  # fields of noise, used again and again


@dataclass
class LongVideo:
    size: tuple
    background: tuple
    seconds: float
    events: list  # of Event, in frames
    strength: float  # of the grain

    def spans(self):
        """[start, end, words] of each event, in seconds."""
        return [[e.first / FPS, (e.last + 1) / FPS, e.words] for e in self.events]


def make_event(rng, first, length, size, taken):
    """An event whose words no other event of the video has."""
    canvas = blank(size, "white")
    while True:
        action, shape = rng.randrange(len(ACTIONS)), rng.randrange(len(SHAPES))
        colour = rng.randrange(len(COLOURS))
        if (action, shape, colour) not in taken:
            break
    taken.add((action, shape, colour))
    side = rng.uniform(28, 40)
    _, dx, dy = ACTIONS[action]
    x_room = side / 2 + abs(dx) / 2 * canvas.width + 2
    y_room = side / 2 + abs(dy) / 2 * canvas.height + 2
    x = rng.uniform(min(x_room, canvas.width / 2), max(canvas.width - x_room, canvas.width / 2))
    y = rng.uniform(min(y_room, canvas.height / 2), max(canvas.height - y_room, canvas.height / 2))
    return Event(first, first + length - 1, shape, colour, action, side, x, y)


def group(rng, begin):
    """(first, length) in frames of one to three events, from the time `begin`."""
    spans, time = [], begin
    for _ in range(rng.randint(1, MOST_EVENTS)):
        length = rng.uniform(*EVENT_SECONDS)
        if spans and time + length > begin + GROUP_SECONDS:
            break
        spans.append((round(time * FPS), round(length * FPS)))
        time += length + rng.uniform(*GAP_SECONDS)
    return spans


def plan(seconds, number):
    """What the video of this length and number shows."""
    rng = random.Random(f"long/{seconds}/{number}")
    size = rng.choice(SIZES)
    background = tuple(rng.randint(222, 255) for _ in range(3))
    events, taken = [], set()
    time = rng.uniform(2.0, 8.0)
    while time + GROUP_SECONDS < seconds:
        for first, length in group(rng, time):
            events.append(make_event(rng, first, length, size, taken))
        time = events[-1].last / FPS + rng.uniform(*PAUSE_SECONDS)
    return LongVideo(size, background, seconds, events, rng.uniform(0, 3))


def frames(video, number):
    """The frames as bytes, in order."""
    noise = numpy.random.default_rng(number)
    width, height = video.size
    fields = noise.normal(0, video.strength, (GRAINS, height, width, 1)).astype(numpy.float32)
    pending = list(video.events)
    for index in range(round(video.seconds * FPS)):
        while pending and pending[0].last < index:
            pending.pop(0)
        canvas = blank(video.size, video.background)
        if pending and pending[0].first <= index:
            event = pending[0]
            colour = COLOURS[event.colour][2]
            draw_thing(canvas, event.shape, event.box(index, canvas), colour)
        pixels = numpy.asarray(canvas.picture, numpy.float32) + fields[noise.integers(GRAINS)]
        yield numpy.clip(pixels, 0, 255).astype(numpy.uint8).tobytes()


def write_video(path, seconds, number):
    """Draws and encodes the video; its truth lies beside it as JSON. Returns the truth."""
    video = plan(seconds, number)
    truth = {"seconds": seconds, "fps": FPS, "events": video.spans()}
    told = path.with_suffix(".json")
    if path.exists() and told.exists() and json.loads(told.read_text()) == truth:
        return truth
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{video.size[0]}x{video.size[1]}", "-r", str(FPS), "-i", "-"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-g", str(FPS * 10)]
    command += ["-pix_fmt", "yuv444p", "-threads", "1", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        for frame in frames(video, number):
            encoder.stdin.write(frame)
        encoder.stdin.close()
    if encoder.returncode:
        raise SystemExit(f"long_videos: {path}: ffmpeg ended with {encoder.returncode}")
    told.write_text(json.dumps(truth, indent=1))
    return truth


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    truth = write_video(options.out, options.seconds, options.number)
    for start, end, words in truth["events"]:
        print(f"{start:8.2f} - {end:8.2f}  {words}")


if __name__ == "__main__":
    main()
