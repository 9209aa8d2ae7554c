"""Bursts made of single photographs: a ground that sways, flickers and rustles, and a thing that moves.

For the weights of a burst's evidence (trapd/rules.py): real bursts are few, and of two stations. A burst
follows from its pictures and its seed. What a simulation cannot show is how often each kind happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from training.views import Draw, Pixels, is_grey

FRAMES = 3
_WIDTH = 640  # of the small frame that the unit judges
_MESH = (20, 15)


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens between the frames of a burst. Pixels are those of a frame 640 wide."""

    sway_px: float  # of the whole camera
    wind_px: float  # of parts of the ground; 0 is calm
    flicker: float  # of the light, as a share
    noise: float  # grey values

    @classmethod
    def drawn(cls, draw: Draw) -> Weather:
        """Mostly calm, now and then a storm."""
        windy = draw.random() < 0.5
        return cls(
            sway_px=float(draw.choice((0.05, 0.3, 1.0))),
            wind_px=float(np.exp(draw.uniform(np.log(0.5), np.log(6.0)))) if windy else 0.0,
            flicker=float(draw.choice((0.005, 0.03, 0.1))),
            noise=float(draw.uniform(1.0, 6.0)),
        )


def simulate(draw: Draw, ground: Pixels, thing: Pixels | None) -> list[Pixels]:
    """FRAMES frames, uint8 [H,640,3], of `ground`, and of `thing` moving across it where there is one."""
    height = max(2, round(ground.shape[0] * _WIDTH / ground.shape[1] / 2) * 2)
    still = np.asarray(Image.fromarray(ground).resize((_WIDTH, height), Image.Resampling.BILINEAR))
    weather = Weather.drawn(draw)
    rustling = _places(draw, height) if weather.wind_px else []
    path = _path(draw) if thing is not None else []
    size = (0, 0) if thing is None else _size(draw, thing, height)
    laid = None if thing is None else _lit_as(draw, still, thing, size)
    frames = []
    for number in range(FRAMES):
        frame = _moved(draw, still, weather, rustling)
        if laid is not None:
            frame = _with_thing(frame, laid, path[number])
        light = 1 + draw.normal(0, weather.flicker)
        depth = 1 if is_grey(still) else 3
        noise = draw.standard_normal((*frame.shape[:2], depth), np.float32) * weather.noise
        frames.append(np.clip(frame * light + noise, 0, 255).astype(np.uint8))
    return frames


def _places(draw: Draw, height: int) -> list[tuple[float, float, float]]:
    """Centre and radius of what rustles."""
    return [
        (draw.uniform(0, _WIDTH), draw.uniform(0, height), _WIDTH * draw.uniform(0.04, 0.25))
        for _ in range(int(draw.integers(1, 5)))
    ]


def _moved(draw: Draw, still: Pixels, weather: Weather, rustling: list[tuple[float, float, float]]) -> Any:
    """The ground with its places shifted a little, between its pixels: a mesh is bent."""
    rows, columns = still.shape[:2]
    y, x = np.meshgrid(
        np.linspace(0, rows, _MESH[1] + 1), np.linspace(0, columns, _MESH[0] + 1), indexing="ij"
    )
    down, across = y + draw.normal(0, weather.sway_px), x + draw.normal(0, weather.sway_px)
    for middle, level, radius in rustling:
        share = np.exp(-((x - middle) ** 2 + (y - level) ** 2) / (2 * radius**2))
        across += share * draw.normal(0, weather.wind_px)
        down += share * draw.normal(0, weather.wind_px / 2)
    mesh = []
    for row in range(_MESH[1]):
        for column in range(_MESH[0]):
            here = row, column
            place = (int(x[here]), int(y[here]), int(x[row, column + 1]), int(y[row + 1, column]))
            corners = (here, (row + 1, column), (row + 1, column + 1), (row, column + 1))
            mesh.append((place, tuple(float(v) for at in corners for v in (across[at], down[at]))))
    # What comes from beyond the edge is taken from within.
    edge = 8
    wide = Image.fromarray(np.pad(still, ((edge, edge), (edge, edge), (0, 0)), mode="edge"))
    shifted = [(place, tuple(value + edge for value in quad)) for place, quad in mesh]
    moved = wide.transform((columns, rows), Image.Transform.MESH, shifted, Image.Resampling.BILINEAR)
    return np.asarray(moved).astype(np.float32)


def _path(draw: Draw) -> list[tuple[float, float] | None]:
    """Where the thing is in each frame, of the frame's width and height; None: not in it."""
    speed = 0.0 if draw.random() < 0.25 else float(np.exp(draw.uniform(np.log(0.005), np.log(0.2))))
    way = 1 if draw.random() < 0.5 else -1
    start, level = draw.uniform(0.05, 0.95), draw.uniform(0.2, 0.9)
    there = [True] * FRAMES
    if speed > 0.02 and draw.random() < 0.4:
        there[int(draw.integers(FRAMES))] = False
    path: list[tuple[float, float] | None] = []
    for number in range(FRAMES):
        place = (start + way * speed * number, level + draw.normal(0, speed / 5))
        path.append(place if there[number] and -0.1 < place[0] < 1.1 else None)
    if not any(path):
        path[0] = (min(1.0, max(0.0, start)), level)
    return path


def _size(draw: Draw, thing: Pixels, height: int) -> tuple[int, int]:
    tall = float(np.exp(draw.uniform(np.log(0.06), np.log(0.5)))) * height
    wide = min(0.7 * _WIDTH, tall * thing.shape[1] / thing.shape[0])
    return max(8, int(wide)), max(8, int(tall))


def _lit_as(draw: Draw, ground: Pixels, thing: Pixels, size: tuple[int, int]) -> Any:
    """The thing in its size, about as bright as the ground, and without colours where that has none."""
    image = Image.fromarray(np.ascontiguousarray(thing)).resize(size, Image.Resampling.BILINEAR)
    laid = np.asarray(image).astype(np.float32)
    if is_grey(ground):
        laid = np.repeat(laid.mean(2, keepdims=True), 3, axis=2)
    gain = np.clip((ground.mean() + 8) / (laid.mean() + 8), 0.3, 3)
    return laid * (1 + draw.uniform(0.2, 0.9) * (gain - 1))


def _with_thing(frame: Any, laid: Any, place: tuple[float, float] | None) -> Any:
    """With the thing at this place, its edges soft."""
    if place is None:
        return frame
    rows, columns = frame.shape[:2]
    height, width = laid.shape[:2]
    left, top = int(place[0] * columns - width / 2), int(place[1] * rows - height / 2)
    above, beyond = max(0, top), max(0, left)
    below, end = min(rows, top + height), min(columns, left + width)
    if below <= above or end <= beyond:
        return frame
    down, across = ((np.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    share = np.clip((1.08 - np.hypot(*np.meshgrid(across, down))) / 0.25, 0, 1)[..., None]
    part = slice(above - top, below - top), slice(beyond - left, end - left)
    frame[above:below, beyond:end] = laid[part] * share[part] + frame[above:below, beyond:end] * (
        1 - share[part]
    )
    return frame
