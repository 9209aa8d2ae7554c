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
from trapd.frozen import Frozen
from trapd.records import FrameScore, Look, Small

if TYPE_CHECKING:
    import numpy.typing as npt

Grey: TypeAlias = "npt.NDArray[np.float32]"
Frames: TypeAlias = "npt.NDArray[np.float32]"  # [frames, places]
Bytes: TypeAlias = "npt.NDArray[np.uint8]"

_SIZE: Final = (96, 72)
_BLOCK: Final = 8
_HOTTEST: Final = 3
_QUARTER: Final = np.float32(0.25)
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

    def look(self, pictures: Iterable[Small | bytes]) -> Look:
        """See ports.Scene."""
        greys: list[Grey] = []
        coloured: bool | None = None
        for picture in pictures:
            coloured = _is_coloured(picture) if coloured is None else coloured  # as every frame of the burst
            grey = _grey(picture)
            if grey is not None:
                greys.append(grey)
        if not greys or coloured is None:
            return Look()
        compared = _compared(greys)
        mean = _mean(greys) if compared is None else compared.mean
        return Look(
            night=not coloured or mean < _DARK,
            change=None if compared is None else _change(compared),
            hidden=_hidden(greys),
        )

    def shift(self, scores: Sequence[FrameScore | None]) -> float | None:
        """See ports.Scene."""
        return _shift([score.embedding for score in scores if score is not None])

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
    lefts, rights = (
        slice(start, start + across * columns, across) for start in (across // 4, across * 3 // 4)
    )
    left, right = (np.add(upper[:, some], lower[:, some], dtype=np.float32) for some in (lefts, rights))
    left += right
    left *= _QUARTER
    return left


def _is_coloured(picture: Small | bytes) -> bool | None:
    """Whether more than one place in ten has colour. None for what cannot be decoded."""
    try:
        if isinstance(picture, Small):
            blue, red = _tints(picture)
            coloured = _coloured_tints()[blue, red]
        else:
            pixels = decode_rgb(picture, _SIZE)
            coloured = pixels.max(axis=2) - pixels.min(axis=2) >= _GREY
    except (BadPicture, ValueError):
        return None
    return int(np.count_nonzero(coloured)) >= coloured.size - coloured.size * 9 // 10


@lru_cache(maxsize=1)
def _coloured_tints() -> npt.NDArray[np.bool_]:
    """[blue, red] of a place, as bytes: whether its colours differ by as much as no infrared's do."""
    around = np.arange(256, dtype=np.float32) - 128
    blue, red = around[:, None], around[None, :]
    channels = [1.402 * red + 0 * blue, -0.344 * blue - 0.714 * red, 1.772 * blue + 0 * red]
    return np.asarray(np.maximum.reduce(channels) - np.minimum.reduce(channels) >= _GREY)


def _tints(small: Small) -> tuple[Bytes, Bytes]:
    """Blue and red of a sample of places."""
    _require_sound(small)
    start, half = small.stride * small.height, small.height // 2
    if small.layout == "nv12":
        both = np.frombuffer(small.data, np.uint8, half * small.stride, start).reshape(half, small.stride)
        return both[::8, 0 : small.width : 32], both[::8, 1 : small.width : 32]
    stride = small.stride // 2
    planes = np.frombuffer(small.data, np.uint8, 2 * half * stride, start).reshape(2, half, stride)
    some = planes[:, ::8, : small.width // 2 : 16]
    return some[0], some[1]


def _require_sound(small: Small) -> None:
    impossible = min(small.width, small.height) < _BLOCK or small.stride < small.width or small.width % 2
    if impossible or small.layout not in ("i420", "nv12"):
        raise BadPicture(f"a {small.layout} frame of {small.width} x {small.height} is none")


class _Compared(Frozen):
    """Frames of one size, the strips at their edges left out, and what makes their light equal."""

    frames: Grey  # [frames + 1, places]; the last row is ones
    rows: int  # of blocks
    columns: int
    means: list[float]
    gains: list[float]

    @property
    def mean(self) -> float:
        """Of all frames."""
        return sum(self.means) / len(self.means)


def _compared(greys: Sequence[Grey]) -> _Compared | None:
    """None for a single frame, and for frames that differ in size."""
    if len(greys) < 2 or len({grey.shape for grey in greys}) > 1:
        return None
    height, width = greys[0].shape
    rows, columns = (height - 2 * _STRIP) // _BLOCK, width // _BLOCK
    if rows < 1 or columns < 1:
        return None
    frames = np.empty((len(greys) + 1, rows * _BLOCK, columns * _BLOCK), np.float32)
    frames[-1] = 1
    for at, grey in enumerate(greys):
        frames[at] = grey[_STRIP : _STRIP + rows * _BLOCK, : columns * _BLOCK]
    flat = frames.reshape(len(frames), -1)
    *products, sums = flat.dot(flat.T).tolist()  # of any two; the last row is of ones
    places = sums.pop()
    means = [each / places for each in sums]
    squares = [each[at] / places for at, each in enumerate(products)]
    spreads = [math.sqrt(max(0.0, square - mean * mean)) for square, mean in zip(squares, means, strict=True)]
    return _Compared(flat, rows, columns, means, [1 / max(spread, _FLOOR) for spread in spreads])


def _mean(greys: Sequence[Grey]) -> float:
    return sum(float(grey.mean()) for grey in greys) / len(greys)


def _change(seen: _Compared) -> float:
    """How far the hottest blocks of a frame lie from the others of the burst, in its own noise; the largest.

    Each frame against the median of the others, brightness and contrast made equal first (infrared light and
    exposure differ from frame to frame).
    """
    away = _against_the_others(seen)
    np.abs(away, out=away)
    narrow = away.reshape(-1, seen.columns * _BLOCK) @ _adder(seen.columns)
    blocks = narrow.reshape(len(away), seen.rows, _BLOCK, seen.columns).sum(axis=2).reshape(len(away), -1)
    blocks.sort(axis=1)
    middle, hottest = blocks.shape[1] // 2, min(_HOTTEST, blocks.shape[1])
    found = [sum(row[-hottest:]) / hottest - row[middle] for row in blocks.tolist()]
    return max(0.0, *map(float, found))


def _against_the_others(seen: _Compared) -> Frames:
    """[frames, places]: each frame less the median of the others.

    The median of two is their mean; of up to three frames all is then one product: each frame's share, and
    what makes the means equal.
    """
    count = len(seen.means)
    own, others = (1.0, 0.0) if count > 3 else (count / (count - 1) - 1 / (count - 1), -1 / (count - 1))
    shares = [
        [gain * (own if at == of else others) for of, gain in enumerate(seen.gains)] for at in range(count)
    ]
    for row in shares:
        row.append(-sum(share * mean for share, mean in zip(row, seen.means, strict=True)))
    away: Frames = np.array(shares, np.float32) @ seen.frames
    if count > 3:
        away -= np.stack([np.median(np.delete(away, at, axis=0), axis=0) for at in range(count)])
    return away


@lru_cache(maxsize=8)
def _adder(columns: int) -> Grey:
    return np.repeat(np.eye(columns, dtype=np.float32), _BLOCK, axis=0) / np.float32(_BLOCK * _BLOCK)


def _shift(embeddings: Sequence[bytes]) -> float | None:
    """How far one frame's embedding points away from the others' (1 - cosine); the largest. None without."""
    if len(embeddings) < 2 or not all(embeddings) or len({len(each) for each in embeddings}) > 1:
        return None
    vectors = np.frombuffer(b"".join(embeddings), np.float32).reshape(len(embeddings), -1)
    # Cosines follow from the products of any two. `dot`, for `@` warns of infinite ones.
    products = vectors.dot(vectors.T).tolist()
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
    edges = _mean_size(upper[:, 1:] - upper[:, :-1])
    if edges >= _FAINT_EDGES or edges + _mean_size(lower - upper) >= _FAINT_EDGES:
        return ""
    low, middle, high = np.percentile(inner, (2, 50, 98))
    if high - low >= _FAINT_CONTRAST:
        return ""
    if middle < _BLACK:
        return "it is dark, or the lens is covered"
    return "glare" if middle > _WHITE else "fog, or the lens is covered"


def _mean_size(steps: Grey) -> float:
    return float(np.abs(steps, out=steps).sum()) / steps.size
