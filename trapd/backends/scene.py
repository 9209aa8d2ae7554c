"""What a burst shows beside what the model makes of it: change, light, and whether anything can be seen.

Screen's thread, or a worker of the offline verbs. Numpy over grey pictures of 96 x 72: a millisecond a burst,
beside the hundreds that the model takes. Of a frame from the camera its luma and chroma are read as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trapd.backends.pictures import decode_rgb, small_of
from trapd.errors import BadPicture
from trapd.records import FrameScore, Look, Small

Grey = npt.NDArray[np.float32]

_SIZE: Final = (96, 72)
_BLOCK: Final = 8
_HOTTEST: Final = 3
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
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
        greys: list[Grey] = []
        colour: float | None = None
        for picture in pictures:
            colour = _colour(picture) if colour is None else colour  # the first frame's is every frame's
            grey = _grey(picture)
            if grey is not None:
                greys.append(grey)
        if not greys or colour is None:
            return Look()
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


def _grey(picture: Small | bytes) -> Grey | None:
    """Grey values, about 72 rows of about 96; None for what cannot be decoded."""
    try:
        if isinstance(picture, Small):
            return _grey_of_small(picture)
        return decode_rgb(picture, _SIZE).astype(np.float32) @ _LUMA
    except (BadPicture, ValueError):
        return None


def _grey_of_small(small: Small) -> Grey:
    """Four places of each cell are averaged: a whole average takes ten times as long."""
    _require_sound(small)
    luma = np.frombuffer(small.data, np.uint8, small.height * small.stride)
    luma = luma.reshape(small.height, small.stride)[:, : small.width]
    down, across = (max(1, round(n / m)) for n, m in ((small.height, _SIZE[1]), (small.width, _SIZE[0])))
    rows, columns = small.height // down, small.width // across
    grey = np.zeros((rows, columns), np.float32)
    for top in (down // 4, down * 3 // 4):
        for left in (across // 4, across * 3 // 4):
            grey += luma[top::down, left::across][:rows, :columns]
    grey *= 0.25
    return grey


def _colour(picture: Small | bytes) -> float | None:
    """How much colour there is, of 255: nine places in ten have less. None for what cannot be decoded."""
    try:
        if not isinstance(picture, Small):
            pixels = decode_rgb(picture, _SIZE).astype(np.float32)
            return _ninetieth(pixels.max(axis=2) - pixels.min(axis=2))
        u, v = _tints(picture)
    except (BadPicture, ValueError):
        return None
    channels = np.stack((1.402 * v, -0.344 * u - 0.714 * v, 1.772 * u))
    return _ninetieth(channels.max(0) - channels.min(0))


def _tints(small: Small) -> tuple[Grey, Grey]:
    """Blue and red of a sample of places, around 0."""
    _require_sound(small)
    start, half = small.stride * small.height, small.height // 2
    if small.layout == "nv12":
        both = np.frombuffer(small.data, np.uint8, half * small.stride, start).reshape(half, small.stride)
        blue, red = both[::8, 0 : small.width : 32], both[::8, 1 : small.width : 32]
    else:
        stride = small.stride // 2
        planes = np.frombuffer(small.data, np.uint8, 2 * half * stride, start).reshape(2, half, stride)
        blue, red = planes[:, ::8, : small.width // 2 : 16]
    return blue.astype(np.float32) - 128, red.astype(np.float32) - 128


def _require_sound(small: Small) -> None:
    impossible = min(small.width, small.height) < _BLOCK or small.stride < small.width
    if impossible or small.layout not in ("i420", "nv12"):
        raise BadPicture(f"a {small.layout} frame of {small.width} x {small.height} is none")


def _change(greys: Sequence[Grey]) -> float | None:
    """How far the hottest blocks of a frame lie from the others of the burst, in its own noise; the largest.

    Each frame against the median of the others, brightness and contrast made equal first (infrared light and
    exposure differ from frame to frame). None for a single
    frame, and for frames that differ in size.
    """
    if len(greys) < 2 or len({grey.shape for grey in greys}) > 1:
        return None
    even = []
    for grey in greys:
        inner = grey[_STRIP:-_STRIP]
        rows, columns = inner.shape[0] // _BLOCK, inner.shape[1] // _BLOCK
        if not rows or not columns:
            return None
        inner = inner[: rows * _BLOCK, : columns * _BLOCK]
        even.append((inner - inner.mean()) / max(_FLOOR, float(inner.std())))
    found = 0.0
    for at, frame in enumerate(even):
        others = even[:at] + even[at + 1 :]
        # The median of two is their mean, which is quicker.
        middle = sum(others[1:], others[0]) / len(others) if len(others) < 3 else np.median(others, axis=0)
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
    if min(inner.shape) < 2:
        return ""
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
