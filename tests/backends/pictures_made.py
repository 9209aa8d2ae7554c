"""Photographs made in the test: no two places alike, and no file needed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def scene(width: int = 640, height: int = 480, seed: int = 1) -> Image.Image:
    """Large blobs of colour with finer ones over them, as photographs have."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    fine = Image.fromarray(draw.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    size = (width, height)
    return Image.blend(coarse.resize(size, Image.Resampling.BICUBIC), fine.resize(size), 0.2)


def jpeg_of(image: Image.Image, **options: object) -> bytes:
    """The image as a JPEG; `options` are Pillow's."""
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 92, **options})
    return out.getvalue()


def png_of(image: Image.Image) -> bytes:
    """The image as a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg_of(image, exif=exif)
