#!/usr/bin/env python3
"""Writes tests/golden/images: small image files and what the reference reads from them.

Needs the reference environment: pillow 13, torch, torchvision, transformers 4.57, qwen-vl-utils
0.0.14, numpy, scikit-image.  Usage: make_image_golden.py [tests/golden/images]
The files and images.json are deterministic; rerun after changing the list below.
"""
import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms.v2.functional as F
import transformers
from PIL import Image, ImageOps
from qwen_vl_utils import vision_process
from skimage import data as photos
from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorFast
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as hf_smart_resize

warnings.simplefilter("ignore")
torch.set_num_threads(1)

LIMITS = [(3136, 12845056), (3136, 50176), (50176, 100352), (3136, 15680)]


# ---------------------------------------------------------------- pictures to write
def pattern(h, w, channels=3, seed=0):
    """A gradient with noise: smooth enough for JPEG, different in every channel."""
    y, x = np.mgrid[0:h, 0:w]
    noise = np.random.default_rng(seed).integers(0, 40, (h, w, channels))
    planes = [(7 * x + 13 * y + 50 * c + (x * y) % (11 + c)) % 216 for c in range(channels)]
    return (np.stack(planes, axis=-1) + noise).astype(np.uint8)


def rgba(h, w):
    picture = pattern(h, w, 4, seed=4)
    picture[..., 3] = np.linspace(0, 255, h * w).reshape(h, w).astype(np.uint8)
    return Image.fromarray(picture, "RGBA")


def rgb(h, w, seed=0):
    return Image.fromarray(pattern(h, w, 3, seed), "RGB")


def gray(h, w):
    return Image.fromarray(pattern(h, w, 1)[..., 0], "L")


def gray16(h, w):
    values = np.random.default_rng(16).integers(0, 600, (h, w)).astype(np.uint16)
    values[::5] *= 100
    return Image.fromarray(values)


def exif_bytes(orientation, big_endian=False):
    e = ">" if big_endian else "<"
    head = (b"MM\x00\x2a" if big_endian else b"II\x2a\x00") + struct.pack(e + "I", 8)
    entries = struct.pack(e + "H", 2)
    entries += struct.pack(e + "HHII", 0x0112 - 1, 4, 1, 77)
    entries += struct.pack(e + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + head + entries + struct.pack(e + "I", 0)


def xmp(orientation):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="{orientation}"/>'.encode()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(w, h, depth, color_type, rows, extra=(), interlace=0):
    stream = b"".join(b"\0" + bytes(row) for row in rows)
    out = b"\x89PNG\r\n\x1a\n" + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color_type, 0, 0, interlace)
    )
    for kind, body in extra:
        out += png_chunk(kind, body)
    return out + png_chunk(b"IDAT", zlib.compress(stream, 9)) + png_chunk(b"IEND", b"")


def adam7_rows(picture):
    rows = []
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = picture[y0::dy, x0::dx]
        if part.size:
            rows += [row.tobytes() for row in part]
    return rows


def bmp(w, h, bits, body, palette=b"", compression=0, masks=(), header_size=40, n_colors=0):
    header = struct.pack("<IiiHHIIiiII", header_size, w, h, 1, bits, compression, len(body), 2835, 2835, n_colors, 0)
    if masks:
        header += struct.pack("<%dI" % len(masks), *masks)
    if header_size > 40:
        header = header[:header_size] + b"\0" * (header_size - len(header))
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + palette + body


def tiff(tags, strips, big_endian=False, tiled=False):
    """A minimal TIFF: tags {id: (type, [values])} plus the strips or tiles given as bytes."""
    e = ">" if big_endian else "<"
    offset, offsets, blob = 8, [], b""
    for strip in strips:
        offsets.append(8 + len(blob))
        blob += strip + b"\0" * (len(strip) % 2)
    tags = dict(tags)
    tags[324 if tiled else 273] = (4, offsets)
    tags[325 if tiled else 279] = (4, [len(strip) for strip in strips])
    directory, extra = b"", b""
    at = 8 + len(blob)
    extra_at = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        body = b"".join(struct.pack(e + {1: "B", 3: "H", 4: "I"}[kind], v) for v in values)
        if len(body) > 4:
            reference = struct.pack(e + "I", extra_at + len(extra))
            extra += body + b"\0" * (len(body) % 2)
        else:
            reference = body.ljust(4, b"\0")
        directory += struct.pack(e + "HHI", tag, kind, len(values)) + reference
    head = (b"MM\x00\x2a" if big_endian else b"II\x2a\x00") + struct.pack(e + "I", at)
    return head + blob + struct.pack(e + "H", len(tags)) + directory + struct.pack(e + "I", 0) + extra


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpegs():
    chelsea = Image.fromarray(photos.chelsea())
    coffee = Image.fromarray(photos.coffee())
    astronaut = Image.fromarray(photos.astronaut())
    yield "photo_chelsea.jpg", saved(chelsea.crop((120, 60, 320, 200)), "JPEG", quality=88)
    yield "photo_coffee.jpg", saved(coffee.resize((240, 160), Image.LANCZOS), "JPEG", quality=90)
    yield "photo_astronaut.jpg", saved(astronaut.crop((150, 20, 322, 256)), "JPEG", quality=85, progressive=True)
    yield "photo_tall.jpg", saved(astronaut.crop((200, 0, 256, 512)), "JPEG", quality=85)
    for name, sampling in [("444", 0), ("422", 1), ("420", 2), ("411", "4:1:1")]:
        yield f"jpeg_{name}.jpg", saved(rgb(45, 61), "JPEG", quality=80, subsampling=sampling)
    yield "jpeg_progressive.jpg", saved(rgb(37, 53, 1), "JPEG", quality=75, progressive=True)
    yield "jpeg_gray.jpg", saved(gray(33, 47), "JPEG", quality=80)
    yield "jpeg_rgb.jpg", saved(rgb(33, 47), "JPEG", quality=80, keep_rgb=True)
    yield "jpeg_restart.jpg", saved(rgb(64, 64), "JPEG", quality=60, restart_marker_blocks=2)
    yield "jpeg_one_pixel.jpg", saved(rgb(1, 1), "JPEG")
    cmyk = Image.fromarray(pattern(29, 43, 4), "CMYK")
    yield "jpeg_cmyk.jpg", saved(cmyk, "JPEG", quality=85)
    ycck = saved(cmyk, "JPEG", quality=85)
    at = ycck.find(b"Adobe")
    if at >= 0:
        yield "jpeg_ycck.jpg", ycck[: at + 11] + b"\x02" + ycck[at + 12 :]
    for orientation in range(1, 9):
        yield f"jpeg_exif{orientation}.jpg", saved(rgb(20, 33), "JPEG", exif=exif_bytes(orientation, orientation % 2 == 0))
    yield "jpeg_exif_invalid.jpg", saved(rgb(20, 33), "JPEG", exif=exif_bytes(9))
    yield "jpeg_xmp6.jpg", saved(rgb(20, 33), "JPEG", xmp=xmp(6))
    good = saved(rgb(40, 40), "JPEG", quality=80)
    yield "jpeg_trailing_bytes.jpg", good + b"trailing" * 3
    yield "jpeg_padded_marker.jpg", good[:2] + b"\xff\xff" + good[2:]


def pngs():
    yield "png_rgb.png", saved(rgb(31, 45), "PNG")
    yield "png_rgba.png", saved(rgba(31, 45), "PNG")
    yield "png_gray.png", saved(gray(31, 45), "PNG")
    yield "png_la.png", saved(rgba(31, 45).convert("LA"), "PNG")
    yield "png_1bit.png", saved(gray(31, 45).point(lambda v: 255 * (v > 100)).convert("1"), "PNG")
    yield "png_gray16.png", saved(gray16(31, 45), "PNG")
    palette = rgb(31, 45).quantize(200)
    yield "png_palette.png", saved(palette, "PNG")
    yield "png_palette_16.png", saved(rgb(31, 45).quantize(16), "PNG", bits=4)
    yield "png_palette_4.png", saved(rgb(31, 45).quantize(4), "PNG", bits=2)
    yield "png_palette_transparent.png", saved(palette, "PNG", transparency=bytes(range(0, 200)))
    yield "png_palette_one_transparent.png", saved(palette, "PNG", transparency=7)
    yield "png_rgb_trns.png", saved(rgb(31, 45), "PNG", transparency=(7, 13, 50))
    yield "png_exif6.png", saved(rgb(20, 33), "PNG", exif=exif_bytes(6))
    yield "png_exif_rgba8.png", saved(rgba(20, 33), "PNG", exif=exif_bytes(8))
    yield "png_one_pixel.png", saved(rgba(1, 1), "PNG")
    yield "png_wide.png", saved(rgb(3, 500), "PNG")
    yield "png_tall.png", saved(rgb(700, 4), "PNG")
    yield "png_large_flat.png", saved(Image.new("RGB", (900, 700), (12, 200, 77)), "PNG")
    p16 = np.random.default_rng(3).integers(0, 65536, (9, 14, 4)).astype(">u2")
    yield "png_rgb16.png", raw_png(14, 9, 16, 2, [r[:, :3].tobytes() for r in p16])
    yield "png_rgba16.png", raw_png(14, 9, 16, 6, [r.tobytes() for r in p16])
    yield "png_la16.png", raw_png(14, 9, 16, 4, [r[:, :2].tobytes() for r in p16])
    p8 = pattern(9, 14, 3)
    yield "png_gray2.png", raw_png(14, 9, 2, 0, [r[:4, 0].tobytes() for r in p8])
    yield "png_gray4.png", raw_png(14, 9, 4, 0, [r[:7, 0].tobytes() for r in p8])
    yield "png_palette_short.png", raw_png(14, 9, 8, 3, [r[:, 0].tobytes() for r in p8], [(b"PLTE", bytes(range(90)))])
    yield "png_interlaced_rgb.png", raw_png(14, 9, 8, 2, adam7_rows(p8), interlace=1)
    big = pattern(31, 45, 4)
    yield "png_interlaced_rgba.png", raw_png(45, 31, 8, 6, adam7_rows(big), interlace=1)
    body = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(3)
    yield "png_xmp3.png", raw_png(14, 9, 8, 2, [r.tobytes() for r in p8], [(b"iTXt", body)])
    yield "png_large_text.png", raw_png(14, 9, 8, 2, [r.tobytes() for r in p8], [(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 100000))])


def webps():
    yield "webp_lossy.webp", saved(rgb(45, 61), "WEBP", quality=80)
    yield "webp_lossless.webp", saved(rgb(45, 61), "WEBP", lossless=True)
    yield "webp_lossy_alpha.webp", saved(rgba(45, 61), "WEBP", quality=70)
    yield "webp_lossless_alpha.webp", saved(rgba(45, 61), "WEBP", lossless=True, exact=True)
    yield "webp_exif5.webp", saved(rgb(20, 33), "WEBP", lossless=True, exif=exif_bytes(5))
    frames = [rgba(30, 40), rgb(30, 40, 9).convert("RGBA")]
    yield "webp_animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    opaque = [rgb(30, 40), rgb(30, 40, 9)]
    yield "webp_animated_opaque.webp", saved(opaque[0], "WEBP", save_all=True, append_images=opaque[1:])
    photo = Image.fromarray(photos.chelsea()).crop((100, 50, 228, 146))
    yield "photo_chelsea.webp", saved(photo, "WEBP", quality=85)


def gifs():
    palette = rgb(31, 45).quantize(64)
    plain = saved(palette, "GIF")
    yield "gif_palette.gif", plain
    yield "gif_gray.gif", saved(gray(31, 45), "GIF")
    yield "gif_interlaced.gif", saved(palette, "GIF", interlace=1)
    yield "gif_transparent.gif", saved(palette, "GIF", transparency=5)
    frames = [palette, rgb(31, 45, 5).quantize(64)]
    yield "gif_animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)
    # The frame made smaller than the canvas, the canvas smaller than the frame.
    def with_screen(data, w, h):
        return data[:6] + struct.pack("<HH", w, h) + data[10:]
    yield "gif_frame_in_canvas.gif", with_screen(plain, 60, 40)
    yield "gif_frame_in_canvas_transparent.gif", with_screen(saved(palette, "GIF", transparency=5), 60, 40)
    yield "gif_frame_beyond_canvas.gif", with_screen(plain, 20, 20)


def bmps():
    yield "bmp_24.bmp", saved(rgb(31, 45), "BMP")
    yield "bmp_8_gray.bmp", saved(gray(31, 45), "BMP")
    yield "bmp_8.bmp", saved(rgb(31, 45).quantize(256), "BMP")
    yield "bmp_1.bmp", saved(gray(31, 45).point(lambda v: 255 * (v > 100)).convert("1"), "BMP")
    yield "bmp_32_bitfields.bmp", saved(rgba(31, 45), "BMP")
    body = pattern(9, 14, 4).tobytes()
    yield "bmp_32.bmp", bmp(14, 9, 32, body)
    yield "bmp_top_down.bmp", bmp(14, -9, 32, body)
    yield "bmp_32_alpha.bmp", bmp(14, 9, 32, body, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), header_size=56)
    yield "bmp_32_rgba.bmp", bmp(14, 9, 32, body, compression=3, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000), header_size=108)
    yield "bmp_16_555.bmp", bmp(14, 9, 16, body[:252])
    yield "bmp_16_565.bmp", bmp(14, 9, 16, body[:252], compression=3, masks=(0xF800, 0x7E0, 0x1F))
    colors = bytes(range(64))
    yield "bmp_4.bmp", bmp(14, 9, 4, body[:72], palette=colors, n_colors=16)
    rle8 = b"\x05\x03\x09\x01\0\0" + b"\0\x05\1\2\3\4\5\0\x09\x07\0\0" + b"\0\x02\x03\x01\x04\x02\0\0" + b"\x0e\x01\0\0" * 4 + b"\x0e\x08\0\1"
    yield "bmp_rle8.bmp", bmp(14, 9, 8, rle8 + b"\0\0", palette=colors, compression=1, n_colors=16)
    rle4 = b"\x0e\x12\0\0" * 8 + b"\0\x06\x12\x34\x56\0\x08\x21\0\1"
    yield "bmp_rle4.bmp", bmp(14, 9, 4, rle4, palette=colors, compression=2, n_colors=16)
    os2 = struct.pack("<IHHHH", 12, 14, 9, 1, 4) + bytes(range(48))
    yield "bmp_os2.bmp", b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(os2)) + os2 + body[:72]


def tiffs():
    picture = rgb(31, 45)
    yield "tiff_raw.tif", saved(picture, "TIFF")
    for compression in ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"]:
        yield f"tiff_{compression}.tif", saved(picture, "TIFF", compression=compression)
    yield "tiff_jpeg_ycbcr.tif", saved(picture, "TIFF", compression="jpeg", quality=80)
    yield "tiff_gray.tif", saved(gray(31, 45), "TIFF", compression="tiff_lzw")
    one_bit = gray(31, 45).point(lambda v: 255 * (v > 100)).convert("1")
    yield "tiff_1.tif", saved(one_bit, "TIFF")
    yield "tiff_group4.tif", saved(one_bit, "TIFF", compression="group4")
    yield "tiff_rgba.tif", saved(rgba(31, 45), "TIFF", compression="tiff_lzw")
    yield "tiff_la.tif", saved(rgba(31, 45).convert("LA"), "TIFF")
    yield "tiff_cmyk.tif", saved(Image.fromarray(pattern(31, 45, 4), "CMYK"), "TIFF")
    yield "tiff_palette.tif", saved(picture.quantize(100), "TIFF", compression="tiff_lzw")
    yield "tiff_gray16.tif", saved(gray16(31, 45), "TIFF")
    yield "tiff_gray16_lzw.tif", saved(gray16(31, 45), "TIFF", compression="tiff_lzw")
    yield "tiff_int32.tif", saved(Image.fromarray(np.arange(-200, 1195).astype(np.int32).reshape(31, 45)), "TIFF")
    yield "tiff_float.tif", saved(Image.fromarray(np.linspace(-20, 300, 1395).astype(np.float32).reshape(31, 45)), "TIFF")
    for orientation in [2, 3, 6, 8]:
        yield f"tiff_orientation{orientation}.tif", saved(rgb(20, 33), "TIFF", tiffinfo={274: orientation}, compression="tiff_lzw" if orientation == 6 else None)
    w, h = 45, 31
    base = {256: (3, [w]), 257: (3, [h]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2]), 277: (3, [3])}
    p = pattern(h, w, 3)
    yield "tiff_planar.tif", tiff({**base, 284: (3, [2]), 278: (3, [h])}, [p[..., c].tobytes() for c in range(3)])
    yield "tiff_strips_big_endian.tif", tiff({**base, 278: (3, [7])}, [p[y : y + 7].tobytes() for y in range(0, h, 7)], True)
    padded = np.zeros((32, 48, 3), np.uint8)
    padded[:h, :w] = p
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in range(0, 32, 16) for x in range(0, 48, 16)]
    yield "tiff_tiled.tif", tiff({**base, 322: (3, [16]), 323: (3, [16])}, tiles, tiled=True)
    deflated = {**base, 259: (3, [8]), 322: (3, [16]), 323: (3, [16])}
    yield "tiff_tiled_deflate.tif", tiff(deflated, [zlib.compress(t) for t in tiles], tiled=True)
    p16 = np.random.default_rng(3).integers(0, 65536, (h, w, 3))
    yield "tiff_rgb16.tif", tiff({**base, 258: (3, [16] * 3)}, [p16.astype("<u2").tobytes()])
    yield "tiff_rgb16_big_endian.tif", tiff({**base, 258: (3, [16] * 3)}, [p16.astype(">u2").tobytes()], True)
    p4 = np.array(rgba(h, w))
    associated = {**base, 258: (3, [8] * 4), 277: (3, [4]), 338: (3, [1])}
    yield "tiff_premultiplied.tif", tiff(associated, [p4.tobytes()])
    yield "tiff_rgbx.tif", tiff({**associated, 338: (3, [0])}, [p4.tobytes()])
    one = {**base, 258: (3, [8]), 262: (3, [0]), 277: (3, [1])}
    yield "tiff_min_is_white.tif", tiff(one, [p[..., 0].tobytes()])
    yield "tiff_gray4.tif", tiff({**one, 258: (3, [4]), 262: (3, [1])}, [p[:, :23, 0].tobytes()])
    yield "tiff_gray2_white.tif", tiff({**one, 258: (3, [2])}, [p[:, :12, 0].tobytes()])
    signed = {**one, 258: (3, [16]), 262: (3, [1]), 339: (3, [2])}
    yield "tiff_signed16.tif", tiff(signed, [(np.arange(h * w) - 300).astype("<i2").tobytes()])
    big16 = {**one, 258: (3, [16]), 262: (3, [1])}
    yield "tiff_gray16_big_endian.tif", tiff(big16, [np.array(gray16(h, w)).astype(">u2").tobytes()], True)
    ycbcr = {**base, 262: (3, [6]), 530: (3, [1, 1])}
    yield "tiff_ycbcr.tif", tiff(ycbcr, [p.tobytes()])
    stacked = {**base, 262: (3, [6]), 259: (3, [8]), 530: (3, [1, 1])}
    yield "tiff_ycbcr_deflate.tif", tiff(stacked, [zlib.compress(p.tobytes())])


# ---------------------------------------------------------------- what the reference makes of them
def load(path, loader):
    image = Image.open(path)
    if loader == "qwen_vl_utils":
        image.load()
        return vision_process.to_rgb(image)
    return ImageOps.exif_transpose(image).convert("RGB")


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def smart(function, h, w, low, high):
    try:
        return list(function(h, w, 28, low, high))
    except (ValueError, AssertionError):
        return None


def resize_case(name, loader, image, size):
    h, w = size
    pillow = image.resize((w, h), Image.BICUBIC)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    kernel = F.resize(tensor, [h, w], interpolation=F.InterpolationMode.BICUBIC, antialias=True)
    slow = Qwen2VLImageProcessor(do_resize=False)(images=[pillow], return_tensors="np")
    fast = Qwen2VLImageProcessorFast(do_resize=False)(images=[pillow], return_tensors="pt")
    return {
        "file": name,
        "loader": loader,
        "height": h,
        "width": w,
        "pillow": sha(np.array(pillow)),
        # Until version 12 Pillow always resized the width first: the same in two calls of one axis.
        "pillow12": sha(np.array(image.resize((w, image.height), Image.BICUBIC).resize((w, h), Image.BICUBIC))),
        "torch_int16": sha(kernel.permute(1, 2, 0).numpy()),
        "patches_slow": sha(slow["pixel_values"].astype("<f4")),
        "patches_fast": sha(fast["pixel_values"].numpy().astype("<f4")),
        "grid_thw": slow["image_grid_thw"][0].tolist(),
    }


def smart_resize_table():
    shapes = [(1000, 1000), (870, 1398), (1014, 1532), (2400, 1080), (720, 1280), (1080, 1920), (2160, 3840),
              (4320, 7680), (480, 640), (14, 14), (28, 28), (42, 42), (70, 98), (13, 100), (1, 200), (20, 4000),
              (1, 201), (201, 1), (1, 1), (4000, 3000), (3024, 4032), (27, 29), (2, 399), (100, 20000)]
    limits = [(3136, 12845056), (3136, 1003520), (200704, 1003520)]
    return [
        {"height": h, "width": w, "min_pixels": low, "max_pixels": high,
         "utils": smart(vision_process.smart_resize, h, w, low, high),
         "hf": smart(hf_smart_resize, h, w, low, high)}
        for h, w in shapes for low, high in limits
    ]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/images")
    folder.mkdir(parents=True, exist_ok=True)
    files, resizes = {}, []
    for maker in (jpegs, pngs, webps, gifs, bmps, tiffs):
        for name, content in maker():
            (folder / name).write_bytes(content)
            files[name] = {}
            for loader in ("qwen_vl_utils", "hf"):
                image = load(folder / name, loader)
                files[name][loader] = {"height": image.height, "width": image.width, "sha256": sha(np.array(image))}
            low, high = LIMITS[len(files) % len(LIMITS)]
            loader = ("qwen_vl_utils", "hf")[len(files) % 2]
            image = load(folder / name, loader)
            function = vision_process.smart_resize if loader == "qwen_vl_utils" else hf_smart_resize
            size = smart(function, image.height, image.width, low, high)
            if size and min(size) > 0 and size[0] * size[1] < 400000:
                resizes.append(resize_case(name, loader, image, size))
    golden = {
        "made_with": {"pillow": PIL.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__,
                      "transformers": transformers.__version__, "numpy": np.__version__},
        "files": files,
        "resize": resizes,
        "smart_resize": smart_resize_table(),
    }
    (folder / "images.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{len(files)} files, {len(resizes)} resize cases, {len(golden['smart_resize'])} smart_resize rows")


if __name__ == "__main__":
    main()
