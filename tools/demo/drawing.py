"""A canvas in resized pixels, typefaces, and what a camera or scanner does to a picture.

Before: items.py picks a size.   After: documents.py, scenes.py, screens.py and clips.py draw on it.
Positions are given in pixels of the picture as the model sees it; the canvas scales them to its own
size, so that every box is right in the resized frame.
"""

import functools
import io
import math
import os
from pathlib import Path

import numpy
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from items import Drawn, Place, seen_size

LATIN_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "LiberationSans-Regular.ttf",
    "LiberationSerif-Regular.ttf",
)
CHINESE_FONTS = ("wqy-microhei.ttc",)
PACKAGES = "fonts-dejavu-core fonts-liberation2 fonts-wqy-microhei"


@functools.lru_cache(maxsize=1)
def font_files():
    """File name to path, of every typeface the generator uses."""
    root = Path(os.environ.get("DEMO_FONTS", "/usr/share/fonts"))
    found = {path.name: path for path in sorted(root.rglob("*.tt[fc]"))}
    missing = [name for name in (*LATIN_FONTS, *CHINESE_FONTS) if name not in found]
    if missing:
        raise SystemExit(
            f"drawing: {root} lacks {', '.join(missing)}; install {PACKAGES}, "
            "or set DEMO_FONTS to a folder with copies"
        )
    return found


@functools.lru_cache(maxsize=512)
def font(name, size):
    return ImageFont.truetype(str(font_files()[name]), size)


@functools.lru_cache(maxsize=65536)
def letter_width(name, size, letter):
    return font(name, size).getlength(letter)


def is_chinese(text):
    return any("\u3000" <= letter <= "\uffef" for letter in text)


class Canvas:
    """A picture of `width` x `height` source pixels, drawn on in resized pixels.

    `resized` gives the size that the model sees: seen_size or seen_clip_size.
    """

    def __init__(self, width, height, background, resized=seen_size):
        self.picture = Image.new("RGB", (width, height), background)
        self.draw = ImageDraw.Draw(self.picture)
        self.background = background
        self.resized = resized
        self.height, self.width = resized(height, width)
        self.x_scale, self.y_scale = width / self.width, height / self.height
        self.angle = 0.0
        self.glyphs, self.regions = [], []  # as Drawn, but in source pixels before the rotation
        self.texts = []  # (text, number of its first glyph), as drawn

    def points(self, points):
        return [(x * self.x_scale, y * self.y_scale) for x, y in points]

    def rectangle(self, box, fill=None, outline=None, width=1, radius=0):
        (x1, y1), (x2, y2) = self.points([box[:2], box[2:]])
        if radius:
            radius *= self.x_scale
            self.draw.rounded_rectangle((x1, y1, x2, y2), radius, fill, outline, width)
        else:
            self.draw.rectangle((x1, y1, x2, y2), fill, outline, width)

    def ellipse(self, box, fill=None, outline=None, width=1):
        (x1, y1), (x2, y2) = self.points([box[:2], box[2:]])
        self.draw.ellipse((x1, y1, x2, y2), fill, outline, width)

    def polygon(self, points, fill):
        self.draw.polygon(self.points(points), fill)

    def line(self, points, fill, width=1):
        self.draw.line(self.points(points), fill, max(1, round(width * self.x_scale)))

    def font(self, name, size):
        return font(name, max(6, round(size * (self.x_scale * self.y_scale) ** 0.5)))

    def text_size(self, text, name, size):
        left, top, right, bottom = self.font(name, size).getbbox(text)
        return right / self.x_scale, bottom / self.y_scale

    def text(self, position, text, name, size, fill):
        """Draws with the top left corner of the line at `position`; returns the box of the ink."""
        x, y = position[0] * self.x_scale, position[1] * self.y_scale
        face = self.font(name, size)
        self.draw.text((x, y), text, fill, face)
        left, top, right, bottom = face.getbbox(text)
        pen, middle = x, y + 0.62 * face.size
        self.texts.append((text, len(self.glyphs)))
        block = len(self.texts) - 1
        for offset, letter in enumerate(text):
            width = letter_width(name, face.size, letter)
            if letter != " ":
                self.glyphs.append((letter, pen + width / 2, middle, block, offset))
            pen += width
        x1, y1 = (x + left) / self.x_scale, (y + top) / self.y_scale
        box = [x1, y1, (x + right) / self.x_scale, (y + bottom) / self.y_scale]
        self.region("text", None, box)
        return box

    def region(self, kind, colour, box):
        """Notes that something stands in a box."""
        scales = (self.x_scale, self.y_scale) * 2
        self.regions.append((kind, colour, [v * scale for v, scale in zip(box, scales)]))

    def rotate(self, degrees):
        """Turns the whole picture about its centre, counter-clockwise; call it last."""
        self.angle = degrees
        self.picture = self.picture.rotate(degrees, Image.BICUBIC, fillcolor=self.background)

    def seen(self, x, y):
        """A place in source pixels before the rotation, in resized pixels of the final picture."""
        width, height = self.picture.size
        rows, columns = self.resized(height, width)
        turn = math.radians(-self.angle)
        dx, dy = x - width / 2, y - height / 2
        x = dx * math.cos(turn) - dy * math.sin(turn) + width / 2
        y = dx * math.sin(turn) + dy * math.cos(turn) + height / 2
        return x * columns / width, y * rows / height

    def seen_box(self, box):
        """The upright box around a box in source pixels; see `seen`."""
        corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
        xs, ys = zip(*(self.seen(x, y) for x, y in corners))
        return [min(xs), min(ys), max(xs), max(ys)]

    def text_places(self, number, start):
        """Places of the letters of the text drawn as number `number`, from letter `start` on of an
        answer that holds it unchanged."""
        text, glyph = self.texts[number]
        places = []
        for offset, letter in enumerate(text):
            if letter != " ":
                x, y = self.seen(*self.glyphs[glyph][1:3])
                places.append(Place(start + offset, start + offset + 1, 0, x, y))
                glyph += 1
        return places

    def whole_box(self, box):
        """A drawn box in whole resized pixels of the final picture, inside of it."""
        rows, columns = self.resized(self.picture.height, self.picture.width)
        scales = (self.x_scale, self.y_scale) * 2
        box = self.seen_box([v * scale for v, scale in zip(box, scales)])
        x1, x2 = (min(max(round(x), 0), columns) for x in (box[0], box[2]))
        y1, y2 = (min(max(round(y), 0), rows) for y in (box[1], box[3]))
        return [x1, y1, x2, y2]

    def drawn(self):
        """What is on the final picture."""
        glyphs = [(letter, *self.seen(x, y), *order) for letter, x, y, *order in self.glyphs]
        regions = [(kind, colour, self.seen_box(box)) for kind, colour, box in self.regions]
        return Drawn(glyphs, regions)

    def whole_point(self, x, y):
        box = self.whole_box([x, y, x, y])
        return box[:2]


def weather(picture, rng, strength=1.0):
    """Blur, noise and JPEG artefacts of a strength from 0 to 1."""
    if rng.random() < 0.2 * strength:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.5)))
    if rng.random() < 0.4 * strength:
        noise = numpy.random.default_rng(rng.getrandbits(32))
        grain = noise.normal(0, rng.uniform(2, 6) * strength, (*picture.size[::-1], 1))
        pixels = numpy.asarray(picture, numpy.float32) + grain.astype(numpy.float32)
        picture = Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))
    if rng.random() < 0.4 * strength:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=rng.randint(70, 92))
        picture = Image.open(file).convert("RGB")
    return picture


def paper_and_ink(rng):
    """A background and a writing colour that differ well; sometimes light on dark."""
    light = tuple(rng.randint(222, 255) for _ in range(3))
    dark = tuple(rng.randint(0, 90) for _ in range(3))
    return (dark, light) if rng.random() < 0.05 else (light, dark)


def pick_font(rng, text):
    return rng.choice(CHINESE_FONTS if is_chinese(text) else LATIN_FONTS)
