"""Pillow without its warning of large photographs: what is too large is refused in our own words."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from PIL import Image


@contextlib.contextmanager
def without_size_warning() -> Iterator[None]:
    """While this lasts no photograph is called an attack for its size. Main thread alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
