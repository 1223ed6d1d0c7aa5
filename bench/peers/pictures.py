"""The pictures of `qwenvl bench`, pixel for pixel (src/engine/bench/probe_pictures.cpp)."""
import numpy


def synthetic_picture(width, height, seed=1):
    """[height, width, 3] bytes: gradients under noise."""
    x, y, channel = (a.astype(numpy.uint32) for a in numpy.meshgrid(
        numpy.arange(width), numpy.arange(height), numpy.arange(3), indexing="xy"))
    with numpy.errstate(over="ignore"):
        h = x * numpy.uint32(0x9E3779B1) ^ y * numpy.uint32(0x85EBCA77)
        h ^= (channel + numpy.uint32(3 * seed)) * numpy.uint32(0xC2B2AE3D)
        h ^= h >> 15
        h *= numpy.uint32(0x2C1B3C6D)
        h ^= h >> 12
        h *= numpy.uint32(0x297A2D39)
    along = numpy.choose(channel, [191 * x // max(width - 1, 1), 191 * y // max(height - 1, 1),
                                   191 * (x + y) // max(width + height - 2, 1)])
    return (along + (h >> 26)).astype(numpy.uint8)
