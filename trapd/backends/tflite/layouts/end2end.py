"""Detectors that end with their own choice: [1, N, 6], a row for each box, the strongest first.

A row is left, top, right, bottom, confidence, class (YOLO26, YOLOv10, and exports with suppression). Boxes
are in pixels of the input or relative to it: a coordinate above 2 is in pixels. [1, 6, N] is the same on its
side. Masks and key points behind the class are passed over; one number more is the angle of a box that is
given by its centre and size. What looks alike but has as many rows as a grid has places is YOLO's own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from trapd.backends.tflite.boxes import Categories, Floats, score_candidates
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import LETTERBOX
from trapd.backends.tflite.interpreter import Array, Tensor
from trapd.backends.tflite.labels import Labels
from trapd.backends.tflite.layouts.yolo import (
    MEGADETECTOR,
    THRESHOLD,
    detection_output,
    flat,
    grid_places,
)
from trapd.backends.tflite.pixels import UNIT
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import FrameScore

_MEGADETECTOR_FILES: Final = ("megadetector", "mdv5", "mdv6", "md_v5", "md_v6", "md-v5", "md-v6")
_COLUMNS: Final = 6
_LOWEST: Final = 0.01
_PIXELS_FROM: Final = 2.0
_MARGIN: Final = 0.02
_MOST_ROWS: Final = 2000
_MOST_CLASSES: Final = 100_000


class End2EndLayout(Frozen):
    """Layout of end-to-end detectors. `first`: columns are the first axis. `turned`: boxes have an angle."""

    labels: tuple[str, ...] | None
    categories: Categories
    tensor: Tensor
    first: bool
    size: tuple[int, int]
    in_pixels: bool
    note: str = ""
    output_at: int = 0
    turned: bool = False
    name: str = "end-to-end"
    threshold: float = THRESHOLD
    pixels: str = UNIT
    fit: str = LETTERBOX
    raw: bool = False

    @property
    def tells(self) -> frozenset[str]:
        """See Layout."""
        return self.categories.told if self.labels else frozenset()

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        rows = _rows(outputs[self.output_at], self.first)
        if not np.isfinite(rows).all():
            raise ValueError("a value that is not a number")
        numbers = np.rint(rows[:, 5])
        if np.abs(numbers).max(initial=0) > _MOST_CLASSES:
            raise ValueError(f"a class {numbers.max()}")
        counted = np.array([self.categories.of_number(int(number)) is not None for number in numbers], bool)
        found = rows[counted & (rows[:, 4] >= _LOWEST)]
        pixels = self.in_pixels or bool(np.abs(found[:, :4]).max(initial=0) > _PIXELS_FROM)

        def corners(wanted: Array) -> Floats:
            boxes: Floats = found[wanted, :4]
            if self.turned:
                half = boxes[:, 2:] / 2
                boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
            return boxes / np.array([*self.size, *self.size], np.float32) if pixels else boxes

        numbers = np.rint(found[:, 5]).astype(np.intp)
        return score_candidates(self.categories, found[:, 4], numbers, corners, join=False)


def recognise(facts: ModelFacts) -> End2EndLayout | None:
    """The layout, if the output looks like such rows for every picture of the self-test."""
    output_at, _ = detection_output(facts)
    if output_at is None:
        return None
    samples = facts.real(output_at)
    table = flat(samples[0])
    if table is None or max(table.shape) < _COLUMNS:
        return None
    for first in (False, True):
        columns, places = table.shape if first else table.shape[::-1]
        dense = places in grid_places(facts.size, 1) | grid_places(facts.size, 3)
        if columns < _COLUMNS or dense or not 1 <= places <= _MOST_ROWS:
            continue
        tables = [_rows(sample, first) for sample in samples]
        if all(map(_are_rows, tables)) and (columns == _COLUMNS or any(map(_are_surely_rows, tables))):
            return _layout(facts, output_at, first, samples)
    return None


def _layout(facts: ModelFacts, output_at: int, first: bool, samples: Sequence[Array]) -> End2EndLayout:
    labels = facts.labels()
    highest = max(int(_rows(sample, first)[:, 5].max()) for sample in samples)
    note = ""
    if labels is None and highest < len(MEGADETECTOR) and _says_megadetector(facts):
        labels, note = Labels.of(MEGADETECTOR), "without labels: taken for MegaDetector's by its file's name"
    if labels is not None and highest >= len(labels.names):
        raise ModelUnavailable(
            f"the model gives a class {highest}, but has {len(labels.names)} labels", "check filter.labels"
        )
    in_pixels = any(bool(np.abs(_rows(sample, first)[:, :4]).max() > _PIXELS_FROM) for sample in samples)
    categories = Categories.of(labels)
    names = labels.names if labels else None
    turned = _rows(samples[0], first).shape[1] == _COLUMNS + 1
    return End2EndLayout(
        names,
        categories,
        facts.outputs[output_at],
        first,
        facts.size,
        in_pixels,
        note,
        output_at=output_at,
        turned=turned,
    )


def _says_megadetector(facts: ModelFacts) -> bool:
    return any(name in facts.file.lower() for name in _MEGADETECTOR_FILES)


def _rows(output: Array, first: bool) -> Floats:
    table = flat(output)
    if table is None:
        raise ValueError(f"an output of shape {list(output.shape)}")
    rows: Floats = (table.T if first else table).astype(np.float32, copy=False)
    return rows


def _are_rows(rows: Floats) -> bool:
    confidences, classes = rows[:, 4], rows[:, 5]
    probable = confidences.min() >= -_MARGIN and confidences.max() <= 1 + _MARGIN
    whole = bool(np.all(np.abs(classes - np.rint(classes)) < _MARGIN))
    return bool(probable and whole and classes.min() >= -1 and classes.max() <= _MOST_CLASSES)


def _are_surely_rows(rows: Floats) -> bool:
    """Where there are further columns, small confidences of many classes may look alike."""
    confidences, classes = rows[:, 4], rows[:, 5]
    is_sorted = bool(np.all(np.diff(confidences) <= 0)) and confidences[0] > 0
    return is_sorted and bool(np.array_equal(classes, np.rint(classes)))
