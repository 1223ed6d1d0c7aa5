"""The small pictures of the generation goldens, drawn from formulas and stored losslessly."""

import numpy
from PIL import Image
from reference import IMAGES


def grid(height, width):
    return numpy.meshgrid(numpy.arange(height), numpy.arange(width), indexing="ij")


def pictures():
    """Yields (name, pixels [H, W] or [H, W, C]) with every byte known."""
    y, x = grid(84, 112)
    yield "gradient", numpy.stack([2 * x, 3 * y, 255 - x - y], -1)
    y, x = grid(56, 56)
    board = ((y // 14 + x // 14) % 2)[..., None]
    yield "checker", numpy.where(board, [230, 40, 30], [20, 60, 200])
    y, x = grid(40, 170)
    yield "stripes", numpy.stack([255 * (x // 9 % 2), 40 + x, 6 * y], -1)
    y, x = grid(120, 90)
    rings = ((y - 60) ** 2 + (x - 40) ** 2) // 150 % 3
    yield "rings", numpy.stack([80 * rings, 250 - 100 * rings, 30 + y], -1)
    y, x = grid(47, 61)
    yield "hash", numpy.stack([(x * y * k + 37 * x + 11 * y) // 5 % 256 for k in (3, 5, 7)], -1)
    y, x = grid(70, 98)
    yield "gray", (3 * x + 2 * (y // 10) * 20) % 256
    y, x = grid(13, 100)  # the two loaders choose different sizes for this one
    yield "thin", numpy.stack([2 * x, 255 - 15 * y, x + y], -1)
    y, x = grid(64, 48)
    yield "alpha", numpy.stack([5 * x, 250 - 3 * y, 128 + 0 * x, 4 * y], -1)


def make_images():
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures():
        Image.fromarray(pixels.astype(numpy.uint8)).save(IMAGES / f"{name}.png", optimize=True)
