"""What a burst shows beside what the model makes of it: change, light, and whether anything can be seen.

Screen's thread, or a worker of the offline verbs. Numpy over grey pictures of 96 x 72: a millisecond a burst,
beside the hundreds that the model takes. Of a frame from the camera its luma and chroma are read as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from trapd.backends.pictures import decode_rgb, small_of
from trapd.errors import BadPicture
from trapd.records import FrameScore, Look, Small

Grey = npt.NDArray[np.float32]

_SIZE: Final = (96, 72)
_BLOCK: Final = 8
_HOTTEST: Final = 3
_STRIP: Final = 6  # rows at the top and the bottom: cameras write the time there
_GREY: Final = 8.0  # of 255: less colour than this is infrared
_DARK: Final = 45.0
_FAINT_EDGES: Final = 1.5  # grey values from one place to the next; the faintest of 183 photographs has 3.5
_FAINT_CONTRAST: Final = 30.0  # the faintest has 37
_BLACK: Final = 40.0
_WHITE: Final = 215.0
_TILED_WIDTH: Final = 1120  # four tiles of 640 overlap by a quarter
_TILE_WIDTH: Final = 640
_FLOOR: Final = 2.0  # noise of a grey value that counts as no change


class Scene:
    """See ports.Scene. Keeps nothing between bursts."""

    def look(self, pictures: Iterable[Small | bytes], scores: Sequence[FrameScore | None]) -> Look:
        """See ports.Scene."""
        seen = [found for picture in pictures if (found := _read(picture)) is not None]
        if not seen:
            return Look()
        greys = [grey for grey, _ in seen]
        colour = max(colour for _, colour in seen)
        mean = sum(float(grey.mean()) for grey in greys) / len(greys)
        return Look(
            night=colour < _GREY or mean < _DARK,
            change=_change(greys),
            shift=_shift([score.embedding for score in scores if score is not None]),
            hidden=_hidden(greys),
        )

    def tiles(self, photograph: bytes) -> list[Small]:
        """See ports.Scene."""
        try:
            whole, width, _ = small_of(photograph, (_TILED_WIDTH, 0))
        except BadPicture:
            return []
        if width < _TILED_WIDTH:
            return []  # no finer than what was judged already
        height = whole.height * _TILE_WIDTH // whole.width // 2 * 2
        lefts, tops = (0, whole.width - _TILE_WIDTH), (0, whole.height - height)
        return [_cut(whole, left, top & ~1, height) for top in tops for left in lefts]


def _cut(whole: Small, left: int, top: int, height: int) -> Small:
    luma = np.frombuffer(whole.data, np.uint8, whole.height * whole.stride)
    chroma = np.frombuffer(whole.data, np.uint8, offset=luma.size)
    planes = (
        luma.reshape(whole.height, whole.stride)[top : top + height, left : left + _TILE_WIDTH],
        *chroma.reshape(2, whole.height // 2, whole.stride // 2)[
            :, top // 2 : (top + height) // 2, left // 2 : (left + _TILE_WIDTH) // 2
        ],
    )
    return Small(b"".join(plane.tobytes() for plane in planes), _TILE_WIDTH, height, _TILE_WIDTH)


def _read(picture: Small | bytes) -> tuple[Grey, float] | None:
    """Grey values, and how much colour there is; None for what cannot be decoded."""
    try:
        return _of_small(picture) if isinstance(picture, Small) else _of_photograph(picture)
    except (BadPicture, ValueError):
        return None


def _of_small(small: Small) -> tuple[Grey, float]:
    size = (small.width, small.height)
    if min(size) < 8 or small.layout not in ("i420", "nv12") or small.stride < small.width:
        raise BadPicture(f"a frame of {size[0]} x {size[1]}, {small.layout}, is none")
    # Of 360 rows every fourth: a quarter of the work, and enough for 72.
    step = max(1, size[1] // (_SIZE[1] + _BLOCK))
    rows = (size[0], size[1] // step)
    luma = Image.frombuffer("L", rows, small.data, "raw", "L", step * small.stride, 1)
    grey = np.asarray(luma.resize(_SIZE, Image.Resampling.BILINEAR, reducing_gap=1.0), np.float32)
    start, half = small.stride * small.height, small.height // 2
    if small.layout == "nv12":
        both = np.frombuffer(small.data, np.uint8, half * small.stride, start).reshape(half, small.stride)
        blue, red = both[::8, 0 : small.width : 32], both[::8, 1 : small.width : 32]
    else:
        stride = small.stride // 2
        planes = np.frombuffer(small.data, np.uint8, 2 * half * stride, start).reshape(2, half, stride)
        blue, red = planes[:, ::8, : small.width // 2 : 16]
    u, v = blue.astype(np.float32) - 128, red.astype(np.float32) - 128
    channels = np.stack((1.402 * v, -0.344 * u - 0.714 * v, 1.772 * u))
    return grey, _ninetieth(channels.max(0) - channels.min(0))


def _of_photograph(data: bytes) -> tuple[Grey, float]:
    pixels = decode_rgb(data, _SIZE).astype(np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey, _ninetieth(pixels.max(axis=2) - pixels.min(axis=2))


def _change(greys: Sequence[Grey]) -> float | None:
    """How far the hottest blocks of a frame lie from the others of the burst, in its own noise; the largest.

    Each frame against the median of the others, brightness and contrast made equal first (infrared light and
    exposure differ from frame to frame). None for a single frame.
    """
    if len(greys) < 2:
        return None
    even = []
    for grey in greys:
        inner = grey[_STRIP:-_STRIP]
        inner = inner[: inner.shape[0] // _BLOCK * _BLOCK]
        even.append((inner - inner.mean()) / max(_FLOOR, float(inner.std())))
    found = 0.0
    for at, frame in enumerate(even):
        others = even[:at] + even[at + 1 :]
        # The median of two is their mean, which is quicker.
        middle = sum(others[1:], others[0]) / len(others) if len(others) < 3 else np.median(others, axis=0)
        rows, columns = frame.shape[0] // _BLOCK, frame.shape[1] // _BLOCK
        blocks = np.abs(frame - middle).reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3)).ravel()
        blocks.sort()
        found = max(found, float(blocks[-_HOTTEST:].mean() - blocks[blocks.size // 2]))
    return found


def _ninetieth(values: Grey) -> float:
    """The 90th percentile, near enough and without numpy's general way."""
    flat = values.ravel()
    at = flat.size * 9 // 10
    return float(np.partition(flat, at)[at])


def _shift(embeddings: Sequence[bytes]) -> float | None:
    """How far one frame's embedding points away from the others' (1 - cosine); the largest. None without."""
    if len(embeddings) < 2 or not all(embeddings) or len({len(each) for each in embeddings}) > 1:
        return None
    vectors = np.stack([np.frombuffer(each, np.float32) for each in embeddings])
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or (lengths <= 0).any():
        return None
    vectors = vectors / lengths[:, None]
    rest = vectors.sum(axis=0) - vectors
    cosines = (vectors * rest).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
    return max(0.0, float(1 - cosines.min()))


def _hidden(greys: Sequence[Grey]) -> str:
    """Why nothing can be seen in any frame of the burst; empty where something can."""
    reasons = {_hidden_in(grey) for grey in greys}
    return reasons.pop() if len(reasons) == 1 else ""


def _hidden_in(grey: Grey) -> str:
    inner = grey[_STRIP:-_STRIP]
    # Near every frame ends here: the rest takes longer.
    across, down = np.abs(inner[:, 1:] - inner[:, :-1]), np.abs(inner[1:] - inner[:-1])
    if across.mean() + down.mean() >= _FAINT_EDGES:
        return ""
    low, middle, high = np.percentile(inner, (2, 50, 98))
    if high - low >= _FAINT_CONTRAST:
        return ""
    if middle < _BLACK:
        return "it is dark, or the lens is covered"
    return "glare" if middle > _WHITE else "fog, or the lens is covered"
