"""Photographs to training views: crops, grounds and pastings in other light, and which cells hold something.

Pure: a view follows from its photographs and its seed. Pixels are uint8 [SIZE, SIZE, 3]. Four kinds:
`shown`, a part of a photograph with what is on it; `ground`, a part without; `pasted`, something cut out and
laid on a ground; `decoy`, a piece of ground laid on a ground in the same way: the seam proves nothing.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from training.catalogue import EMPTY, Box, Photograph

Pixels = npt.NDArray[np.uint8]
Cells = npt.NDArray[np.int8]
Draw = np.random.Generator

SIZE = 320
GRID = 10  # cells in a row: those of the trunk's last map
SOMETHING, NOTHING, UNKNOWN = 1, 0, -1

_BASE = (480, 360)  # what things are laid on
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)
_GREY = 3.0  # mean difference of a pixel's colours from their mean: below it is infrared


@dataclass(frozen=True, slots=True)
class Job:
    """One view to be made: of photograph number `of`, on a ground of number `on` (-1: none)."""

    kind: str
    of: int
    on: int
    seed: int


@dataclass(frozen=True, slots=True)
class View:
    """One training view. `sets`: of the photographs in it; cells: SOMETHING, NOTHING or UNKNOWN."""

    pixels: Pixels
    something: bool
    sets: frozenset[str]
    cells: Cells


def plan(photographs: Sequence[Photograph], seed: int) -> list[Job]:
    """The views that the photographs can give, in an order that is drawn: any number of the first will do."""
    draw = np.random.default_rng(seed)
    grounds = [
        [n for n, one in enumerate(photographs) if one.trap and one.located and (one.label == EMPTY) is bare]
        for bare in (True, False)
    ]
    jobs: list[Job] = []
    for number, one in enumerate(photographs):
        for kind, count in _counts(one):
            for _ in range(count):
                # Half of what is laid on something lies on a whole ground, half beside another thing.
                some = grounds[int(draw.integers(2))] or grounds[0] or grounds[1]
                on = int(draw.choice(some)) if kind in ("pasted", "decoy") else -1
                jobs.append(Job(kind, number, on, len(jobs)))
    random.Random(seed + 1).shuffle(jobs)
    return jobs


def _counts(one: Photograph) -> Iterator[tuple[str, int]]:
    if not one.trap:
        return  # tried: holiday views and roads made it no better before camera traps
    if one.label == EMPTY:
        yield from (("ground", 22), ("decoy", 4))
        return
    more = 1 if one.label == "animal" else 3  # persons and vehicles are few
    yield "shown", 30 * more
    if one.located:
        yield from (("ground", 24), ("pasted", 20 * more), ("decoy", 10))


def make(job: Job, photographs: Sequence[Photograph], pixels: Sequence[Pixels], seed: int) -> View | None:
    """The view; None where a photograph has no ground to take."""
    draw = np.random.default_rng([seed, job.seed])
    one, boxes = photographs[job.of], list[Box]()
    picture: Pixels | None
    sets = {one.set}
    if job.kind == "shown":
        picture, boxes = _shown(draw, one, pixels[job.of])
    elif job.kind == "ground":
        picture = _ground(draw, one, pixels[job.of], (0.35, 1.0) if one.label == EMPTY else (0.25, 0.7))
    else:
        sets.add(photographs[job.on].set)
        picture = _ground(draw, photographs[job.on], pixels[job.on], (0.5, 1.0))
        piece = (
            _cut_out(one, pixels[job.of])
            if job.kind == "pasted"
            else _ground(draw, one, pixels[job.of], (0.2, 0.5))
        )
        if picture is None or piece is None:
            return None
        picture, laid = _lay(draw, _resized(picture, _BASE), piece)
        boxes = [laid] if job.kind == "pasted" else []
    if picture is None:
        return None
    if draw.random() < 0.5:
        picture = picture[:, ::-1]
        boxes = [Box(1 - box.right, box.top, 1 - box.left, box.bottom, box.sure) for box in boxes]
    something = job.kind in ("shown", "pasted")
    known = not something or any(box.sure for box in boxes)
    return View(in_other_light(draw, picture), something, frozenset(sets), cells(boxes, known=known))


def cells(boxes: Sequence[Box], *, known: bool, grid: int = GRID) -> Cells:
    """Which cells hold something. Around each box, and where `known` is False, nobody knows."""
    found = np.full((grid, grid), NOTHING if known else UNKNOWN, np.int8)
    if not known:
        return found
    middle = (np.arange(grid) + 0.5) / grid

    def inside(box: Box, margin: float) -> Any:
        across = (middle > box.left - margin) & (middle < box.right + margin)
        down = (middle > box.top - margin) & (middle < box.bottom + margin)
        return np.outer(down, across)

    for box in boxes:
        found[inside(box, 0.1 if box.sure else 0.03)] = UNKNOWN
    for box in boxes:
        if not box.sure:
            continue
        held = inside(box, 0.03)
        row = min(grid - 1, max(0, int((box.top + box.bottom) / 2 * grid)))
        column = min(grid - 1, max(0, int((box.left + box.right) / 2 * grid)))
        held[row, column] = True
        found[held] = SOMETHING
    return found


def _window(draw: Draw, least: float, most: float) -> Box:
    side = draw.uniform(least, most)
    width, height = (min(1.0, side * draw.uniform(0.85, 1.18)) for _ in range(2))
    left, top = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
    return Box(left, top, left + width, top + height)


def _held(box: Box, window: Box) -> float:
    """The share of `box` that lies in `window`."""
    width = min(box.right, window.right) - max(box.left, window.left)
    height = min(box.bottom, window.bottom) - max(box.top, window.top)
    return max(0.0, width) * max(0.0, height) / max(box.area, 1e-9)


def _within(box: Box, window: Box) -> Box:
    width, height = window.right - window.left, window.bottom - window.top
    return Box(
        max(0.0, (box.left - window.left) / width),
        max(0.0, (box.top - window.top) / height),
        min(1.0, (box.right - window.left) / width),
        min(1.0, (box.bottom - window.top) / height),
        box.sure,
    )


def _part(picture: Pixels, window: Box) -> Pixels:
    height, width = picture.shape[:2]
    top, left = min(height - 8, int(window.top * height)), min(width - 8, int(window.left * width))
    bottom, right = max(top + 8, int(window.bottom * height)), max(left + 8, int(window.right * width))
    return picture[top:bottom, left:right]


def _shown(draw: Draw, one: Photograph, picture: Pixels) -> tuple[Pixels, list[Box]]:
    sure = [box for box in one.found if box.sure]
    if not sure:
        return _part(picture, _window(draw, 0.85, 1.0)), []
    window = _WHOLE
    for _ in range(20):
        tried = _window(draw, 0.35, 1.0)
        if _held(sure[0], tried) >= 0.7:
            window = tried
            break
    # What is cut off for the most part is no proof of anything.
    kept = [_within(box, window) for box in sure if _held(box, window) >= 0.3]
    return _part(picture, window), kept


def _ground(draw: Draw, one: Photograph, picture: Pixels, sides: tuple[float, float]) -> Pixels | None:
    if one.label == EMPTY:
        return _part(picture, _window(draw, *sides))
    for _ in range(60):
        window = _window(draw, 0.25, min(0.7, sides[1]))
        if all(_held(box, window) == 0 for box in one.found):
            return _part(picture, window)
    return None


def _cut_out(one: Photograph, picture: Pixels) -> Pixels:
    box = next(box for box in one.found if box.sure)
    across, down = 0.12 * (box.right - box.left), 0.12 * (box.bottom - box.top)
    wide = Box(
        max(0.0, box.left - across),
        max(0.0, box.top - down),
        min(1.0, box.right + across),
        min(1.0, box.bottom + down),
    )
    return _part(picture, wide)


def is_grey(picture: Pixels) -> bool:
    """Whether it is infrared."""
    some = picture[::7, ::7].astype(np.float32)
    return float(np.abs(some - some.mean(2, keepdims=True)).mean()) < _GREY


def _lay(draw: Draw, ground: Pixels, piece: Pixels) -> tuple[Pixels, Box]:
    """`piece` on `ground` with soft edges, about as bright as what it covers; and where."""
    rows, columns = ground.shape[:2]
    height = draw.uniform(0.08, 0.5) * rows
    width = min(0.7 * columns, height * piece.shape[1] / piece.shape[0] * draw.uniform(0.85, 1.18))
    size = (max(9, int(width)), max(9, int(height)))
    if draw.random() < 0.5:
        piece = piece[:, ::-1]
    laid = _resized(piece, size).astype(np.float32)
    if is_grey(ground):
        laid = np.repeat(laid.mean(2, keepdims=True), 3, axis=2)
    top = int(draw.integers(0, max(1, rows - size[1])))
    left = int(draw.integers(0, max(1, columns - size[0])))
    below = ground[top : top + size[1], left : left + size[0]].astype(np.float32)
    gain = np.clip((below.mean() + 8) / (laid.mean() + 8), 0.3, 3)
    laid = np.clip(laid * (1 + draw.uniform(0.2, 0.9) * (gain - 1)), 0, 255)
    down = (np.arange(size[1]) + 0.5) / size[1] * 2 - 1
    across = (np.arange(size[0]) + 0.5) / size[0] * 2 - 1
    radius = np.hypot(*np.meshgrid(across, down))
    share = np.clip((1.08 - radius) / draw.uniform(0.1, 0.35), 0, 1)[..., None]
    made = ground.copy()
    made[top : top + size[1], left : left + size[0]] = (laid * share + below * (1 - share)).astype(np.uint8)
    box = Box(left / columns, top / rows, (left + size[0]) / columns, (top + size[1]) / rows)
    return made, box


def _resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def in_other_light(draw: Draw, picture: Pixels) -> Pixels:
    """SIZE x SIZE, coarser, softer, paler, darker, in infrared, noisy, or none of it."""
    grey = is_grey(picture)
    image = Image.fromarray(_resized(picture, (SIZE, SIZE)))
    if draw.random() < 0.35:
        coarse = int(draw.choice((128, 160, 192, 256)))
        image = image.resize((coarse, coarse), Image.Resampling.BILINEAR)
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if draw.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0.5, 2)))
    if draw.random() < 0.6:
        image = ImageEnhance.Color(image).enhance(draw.uniform(0.4, 1.5))
    values = np.asarray(image).astype(np.float32) / 255
    if not grey and draw.random() < 0.35:
        values = _infrared(draw, values)
    if draw.random() < 0.25:
        values = values * draw.uniform((0.8, 0.85, 0.8), (1.2, 1.15, 1.2)).astype(np.float32)
    values = np.clip(values, 0, 1) ** draw.uniform(0.55, 1.8) * draw.uniform(0.6, 1.35)
    values = values + draw.uniform(-0.08, 0.08)
    if draw.random() < 0.5:
        depth = 1 if grey or draw.random() < 0.5 else 3
        noise = draw.standard_normal((SIZE, SIZE, depth), np.float32)
        values = values + noise * draw.uniform(0.005, 0.05)
    made = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    if draw.random() < 0.3:
        out = io.BytesIO()
        Image.fromarray(made).save(out, "JPEG", quality=int(draw.integers(30, 90)))
        made = np.asarray(Image.open(out))
    return made


def _infrared(draw: Draw, values: Any) -> Any:
    """One colour, and often the light of a lamp that fades towards the edges."""
    weights = draw.dirichlet((2, 2, 2)).astype(np.float32)
    values = np.repeat((values * weights).sum(2, keepdims=True), 3, axis=2)
    if draw.random() < 0.6:
        place = np.arange(SIZE) / SIZE - 0.5
        across, down = place - draw.uniform(-0.2, 0.2), place - draw.uniform(-0.2, 0.2)
        far = across[None, :] ** 2 + down[:, None] ** 2
        lamp = np.exp(-far / draw.uniform(0.06, 0.4)) + draw.uniform(0.1, 0.5)
        values = values * lamp[..., None].astype(np.float32)
    return values
