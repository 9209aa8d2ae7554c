"""What a burst shows beside what the model makes of it: change, light, and whether anything can be seen.

Screen's thread, or a worker of the offline verbs. Numpy over grey pictures of 96 x 72: a millisecond a burst,
beside the hundreds that the model takes. Of a frame from the camera its luma and chroma are read as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from trapd.backends.pictures import decode_rgb, small_of
from trapd.errors import BadPicture
from trapd.records import FrameScore, Look, Small

if TYPE_CHECKING:
    import numpy.typing as npt

Grey: TypeAlias = "npt.NDArray[np.float32]"
Frames: TypeAlias = "npt.NDArray[np.float32]"  # [frames, rows, columns]

_SIZE: Final = (96, 72)
_BLOCK: Final = 8
_HOTTEST: Final = 3
_QUARTER: Final = np.float32(0.25)
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_FROM_TINTS: Final = np.array([[0, 1.402], [-0.344, -0.714], [1.772, 0]], np.float32)  # to red, green, blue
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
        mean = sum(float(grey[::4].mean()) for grey in greys) / len(greys)  # a quarter of the rows will do
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
    upper, lower = (luma[top::down][:rows] for top in (down // 4, down * 3 // 4))
    pairs = np.add(upper, lower, dtype=np.uint16)
    left, right = (pairs[:, start::across][:, :columns] for start in (across // 4, across * 3 // 4))
    return np.asarray((left + right) * _QUARTER, np.float32)


def _colour(picture: Small | bytes) -> float | None:
    """How much colour there is, of 255: nine places in ten have less. None for what cannot be decoded."""
    try:
        if not isinstance(picture, Small):
            pixels = decode_rgb(picture, _SIZE).astype(np.float32)
            return _ninetieth(pixels.max(axis=2) - pixels.min(axis=2))
        channels = _FROM_TINTS @ _tints(picture)
    except (BadPicture, ValueError):
        return None
    return _ninetieth(np.maximum.reduce(channels) - np.minimum.reduce(channels))


def _tints(small: Small) -> Frames:
    """[2, places]: blue and red of a sample of places, around 0."""
    _require_sound(small)
    start, half = small.stride * small.height, small.height // 2
    if small.layout == "nv12":
        both = np.frombuffer(small.data, np.uint8, half * small.stride, start).reshape(half, small.stride)
        some = np.stack((both[::8, 0 : small.width : 32], both[::8, 1 : small.width : 32]))
    else:
        stride = small.stride // 2
        planes = np.frombuffer(small.data, np.uint8, 2 * half * stride, start).reshape(2, half, stride)
        some = planes[:, ::8, : small.width // 2 : 16]
    found = some.reshape(2, -1).astype(np.float32)
    found -= 128
    return found


def _require_sound(small: Small) -> None:
    impossible = min(small.width, small.height) < _BLOCK or small.stride < small.width
    if impossible or small.layout not in ("i420", "nv12"):
        raise BadPicture(f"a {small.layout} frame of {small.width} x {small.height} is none")


def _change(greys: Sequence[Grey]) -> float | None:
    """How far the hottest blocks of a frame lie from the others of the burst, in its own noise; the largest.

    Each frame against the median of the others, brightness and contrast made equal first (infrared light and
    exposure differ from frame to frame). None for a single frame, and for frames that differ in size.
    """
    if len(greys) < 2 or len({grey.shape for grey in greys}) > 1:
        return None
    height, width = greys[0].shape
    rows, columns = (height - 2 * _STRIP) // _BLOCK, width // _BLOCK
    if rows < 1 or columns < 1:
        return None
    even = np.stack([grey[_STRIP : _STRIP + rows * _BLOCK, : columns * _BLOCK] for grey in greys])
    flat = even.reshape(len(greys), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    spread = np.sqrt((flat @ flat.T).diagonal() / flat.shape[1])
    flat /= np.maximum(spread, _FLOOR)[:, None]
    away = _against_the_others(even)
    blocks = _block_means(np.abs(away, out=away), rows, columns)
    blocks.sort(axis=1)
    found = blocks[:, -_HOTTEST:].mean(axis=1) - blocks[:, blocks.shape[1] // 2]
    return max(0.0, float(found.max()))


def _against_the_others(even: Frames) -> Frames:
    """Each frame less the median of the others; the frames are used up."""
    count = len(even)
    if count > 3:
        middles = [np.median(np.delete(even, at, axis=0), axis=0) for at in range(count)]
        return np.asarray(even - np.stack(middles), np.float32)
    # The median of two is their mean; and a frame less the mean of the others is as much more than less the
    # mean of all.
    total = even[0] + even[1] if count == 2 else even[0] + even[1] + even[2]
    total *= np.float32(1 / (count - 1))
    even *= np.float32(count / (count - 1))
    even -= total
    return even


def _block_means(frames: Frames, rows: int, columns: int) -> Frames:
    """[frames, rows * columns]. Columns are added up by a product of matrices: many times as quick."""
    narrow = frames.reshape(-1, columns * _BLOCK) @ _adder(columns)
    return np.asarray(narrow.reshape(len(frames), rows, _BLOCK, columns).sum(axis=2)).reshape(len(frames), -1)


@lru_cache(maxsize=8)
def _adder(columns: int) -> Grey:
    return np.repeat(np.eye(columns, dtype=np.float32), _BLOCK, axis=0) / np.float32(_BLOCK * _BLOCK)


def _ninetieth(values: Grey) -> float:
    """The 90th percentile, near enough and without numpy's general way."""
    flat = values.ravel()
    at = flat.size * 9 // 10
    return float(np.partition(flat, at)[at])


def _shift(embeddings: Sequence[bytes]) -> float | None:
    """How far one frame's embedding points away from the others' (1 - cosine); the largest. None without."""
    if len(embeddings) < 2 or not all(embeddings) or len({len(each) for each in embeddings}) > 1:
        return None
    vectors = np.frombuffer(b"".join(embeddings), np.float32).reshape(len(embeddings), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        products = (vectors @ vectors.T).tolist()  # cosines follow from the products of any two
    # A few numbers: Python is quicker with them than numpy.
    squares = [row[at] for at, row in enumerate(products)]
    if not all(math.isfinite(sum(row)) for row in products) or min(squares) <= 0:
        return None
    lengths = [math.sqrt(square) for square in squares]
    cosines = [
        [value / (one * length) for value, one in zip(row, lengths, strict=True)]
        for row, length in zip(products, lengths, strict=True)
    ]
    sums = [sum(row) for row in cosines]
    whole = sum(sums)
    # Of a frame and the sum of all others: their product, over the length of the sum.
    nearest = min((each - 1) / math.sqrt(max(whole - 2 * each + 1, 1e-9)) for each in sums)
    return max(0.0, 1.0 - float(nearest))


def _hidden(greys: Sequence[Grey]) -> str:
    """Why nothing can be seen in any frame of the burst; empty where something can."""
    said = ""
    for grey in greys:
        reason = _hidden_in(grey)
        if not reason or (said and reason != said):
            return ""
        said = reason
    return said


def _hidden_in(grey: Grey) -> str:
    inner = grey[_STRIP:-_STRIP]
    if min(inner.shape) < 2:
        return ""
    # Near every frame ends here: the rest takes longer, and half of the rows will do.
    upper, lower = inner[:-1:2], inner[1::2]
    across, down = np.abs(upper[:, 1:] - upper[:, :-1]), np.abs(lower - upper)
    if across.mean() + down.mean() >= _FAINT_EDGES:
        return ""
    low, middle, high = np.percentile(inner, (2, 50, 98))
    if high - low >= _FAINT_CONTRAST:
        return ""
    if middle < _BLACK:
        return "it is dark, or the lens is covered"
    return "glare" if middle > _WHITE else "fog, or the lens is covered"
