"""Pictures to the trunk's feature map, through the same 8-bit trunk that is shipped.

The head is fitted to what it will see on the unit. Views are made and looked at in a few processes; a view
takes some 50 ms of one core, and its map 250 kB.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.catalogue import Photograph
from training.views import GRID, SIZE, Job, Pixels, View, make

Maps = npt.NDArray[np.float16]
CHANNELS = 1280


class Trunk:
    """The 8-bit trunk. One a process."""

    def __init__(self, file: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(file), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]

    def look(self, picture: Pixels) -> Maps:
        """The map [GRID*GRID,CHANNELS] of an RGB picture; what is in 8 bits becomes what it stands for."""
        given = (luma_and_chroma(picture)[None].astype(np.int16) - 128).astype(np.int8)
        self._interpreter.set_tensor(self._input, given)
        self._interpreter.invoke()
        found = self._interpreter.get_tensor(self._output["index"])
        if found.dtype == np.int8:
            scale, zero = self._output["quantization"]
            found = (found.astype(np.float32) - zero) * scale
        return np.ascontiguousarray(found.reshape(CHANNELS, -1).T).astype(np.float16)


@dataclass(frozen=True, slots=True)
class Examples:
    """What a head is fitted to: the map of each view, and what is known of it."""

    maps: Maps  # [N,GRID*GRID,CHANNELS]
    something: npt.NDArray[np.bool_]
    cells: npt.NDArray[np.int8]  # [N,GRID*GRID]
    sets: tuple[frozenset[str], ...]

    def without(self, left_out: frozenset[str]) -> npt.NDArray[np.int64]:
        """The numbers of those in which nothing is of the sets `left_out`."""
        return np.array([n for n, sets in enumerate(self.sets) if not sets & left_out], np.int64)


@dataclass(frozen=True, slots=True)
class Material:
    """What views are made of, and the trunk that looks at them. One set of pixels a photograph."""

    trunk: Path
    photographs: Sequence[Photograph]
    pixels: Sequence[Pixels]
    seed: int


class _Worker:
    """What a process of the pool holds; pools hand over functions, not objects."""

    trunk: ClassVar[Trunk]
    material: ClassVar[Material]


def _begin(material: Material) -> None:
    _Worker.trunk, _Worker.material = Trunk(material.trunk), material


def _work(job: Job) -> tuple[View, Maps] | None:
    view = make(job, _Worker.material.photographs, _Worker.material.pixels, _Worker.material.seed)
    return None if view is None else (view, _Worker.trunk.look(view.pixels))


def examples(material: Material, jobs: Sequence[Job], most: int, *, processes: int = 2) -> Examples:
    """Make the first `most` views and look at each."""
    most = min(most, len(jobs))
    maps = np.empty((most, GRID * GRID, CHANNELS), np.float16)
    views: list[tuple[bool, Any, frozenset[str]]] = []
    # Forked, so that the photographs are in memory once.
    with get_context("fork").Pool(processes, _begin, (material,)) as pool:
        for found in pool.imap(_work, jobs, chunksize=16):
            if found is None:
                continue
            view, maps[len(views)] = found
            views.append((view.something, view.cells.ravel(), view.sets))
            if len(views) == most:
                break
        pool.terminate()
    count = len(views)
    return Examples(
        maps[:count],
        np.array([something for something, _, _ in views]),
        np.stack([cells for _, cells, _ in views]),
        tuple(sets for _, _, sets in views),
    )


def kept(folder: Path, examples_made: Callable[[], Examples]) -> Examples:
    """Those that an earlier run left in `folder`; else made, and left there."""
    names = [folder / f"{name}.npy" for name in ("maps", "something", "cells")]
    sets = folder / "sets.json"
    if not sets.is_file():
        found = examples_made()
        folder.mkdir(parents=True, exist_ok=True)
        values: tuple[npt.NDArray[Any], ...] = (found.maps, found.something, found.cells)
        for name, each in zip(names, values, strict=True):
            np.save(name, each)
        sets.write_text(json.dumps([sorted(each) for each in found.sets]), "utf-8")
        return found
    maps, something, cells = (np.load(name, mmap_mode="r") for name in names)
    of_views = tuple(frozenset(each) for each in json.loads(sets.read_text("utf-8")))
    return Examples(maps, something, cells, of_views)


def luma_and_chroma(picture: Pixels) -> Pixels:
    """As the network takes it: Y, Cb, Cr of each pixel, in full range."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("YCbCr"))


def whole(picture: Pixels) -> Pixels:
    """As the unit sees it: stretched to SIZE x SIZE."""
    return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
