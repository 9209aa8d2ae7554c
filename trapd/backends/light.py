"""Whether a photograph was taken by day or by night, told from the photograph itself. Any thread."""

from __future__ import annotations

import numpy as np

from trapd.backends.pictures import decode_rgb

_SIZE = (96, 72)
_GREY = 8.0
_DARK = 45.0


def is_night(picture: bytes) -> bool:
    """True for an infrared photograph (without colour) or a dark one. Raises BadPicture.

    Infrared: the 90th percentile over the pixels of (largest - smallest channel) is below 8 of 255. Dark: the
    mean luma is below 45. Fog by day is nearly grey too, and may pass for night.
    """
    pixels = decode_rgb(picture, _SIZE).astype(np.int16)
    colour = np.percentile(pixels.max(axis=2) - pixels.min(axis=2), 90)
    luma = pixels.mean()
    return bool(colour < _GREY or luma < _DARK)
