"""EfficientDet-Lite without post-processing: two outputs, as MediaPipe's files have them.

Boxes [1,N,4] (shifts and sizes against N fixed anchors: dy, dx, log height, log width) and confidences or
logits [1,N,C]. N is 9 anchors for each cell of five grids with strides 8 to 128; another N is not this
layout. The anchors are those of the EfficientDet paper and its reference code: three octaves by three
aspects, 3 strides wide (4 for Lite4, told by its size).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from trapd.backends.tflite.boxes import Categories, Floats, score_candidates
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import STRETCH
from trapd.backends.tflite.interpreter import Array
from trapd.backends.tflite.pixels import SIGNED
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import FrameScore

THRESHOLD: Final = 0.35

_STRIDES: Final = (8, 16, 32, 64, 128)
_ASPECTS: Final = (1.0, 2.0, 0.5)
_OCTAVES: Final = 3
_LITE4: Final = 640
_LOWEST: Final = 0.01
_MARGIN: Final = 0.02
_MOST_LOG: Final = 10.0


class EfficientDetLayout(Frozen):
    """Layout of EfficientDet without post-processing. `anchors`: [N, 4], centre y, x, height, width."""

    labels: tuple[str, ...] | None
    categories: Categories
    boxes_at: int
    scores_at: int
    logits: bool
    anchors: Floats
    name: str = "efficientdet"
    threshold: float = THRESHOLD
    pixels: str = SIGNED
    fit: str = STRETCH
    raw: bool = False
    note: str = ""

    @property
    def tells(self) -> frozenset[str]:
        """See Layout."""
        return self.categories.told if self.labels else frozenset()

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        every = outputs[self.scores_at][0]
        if not math.isfinite(float(every.sum())):
            raise ValueError("a value that is not a number")
        kept = self.categories.kept_rows()
        classes = every if kept is None else every[:, kept]
        if not classes.size:
            return FrameScore(0.0)
        scores = classes.max(axis=1).astype(np.float32)
        if self.logits:
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        places = np.flatnonzero(scores >= _LOWEST)
        rows = classes[places].argmax(axis=1)
        numbers = rows if kept is None else kept[rows]

        def corners(wanted: Array) -> Floats:
            shifts = outputs[self.boxes_at][0][places[wanted]].astype(np.float32)
            anchors = self.anchors[places[wanted]]
            centres = shifts[:, :2] * anchors[:, 2:] + anchors[:, :2]
            halves = np.exp(np.clip(shifts[:, 2:], -_MOST_LOG, _MOST_LOG)) * anchors[:, 2:] / 2
            low, high = centres - halves, centres + halves
            return np.stack([low[:, 1], low[:, 0], high[:, 1], high[:, 0]], axis=1)

        return score_candidates(self.categories, scores[places], numbers, corners, join=True)


def recognise(facts: ModelFacts) -> EfficientDetLayout | None:
    """The layout, if both outputs have as many rows as there are anchors."""
    if len(facts.outputs) != 2 or not all(len(t.shape) == 3 and t.shape[0] == 1 for t in facts.outputs):
        return None
    shapes = [tensor.shape for tensor in facts.outputs]
    places = _OCTAVES * len(_ASPECTS) * sum(math.prod(grid) for grid in _grids(facts.size))
    boxes = [at for at, shape in enumerate(shapes) if shape[1:] == (places, 4)]
    if len(boxes) != 1 or shapes[1 - boxes[0]][1] != places or shapes[1 - boxes[0]][2] < 1:
        return None
    scores_at = 1 - boxes[0]
    facts.require_scale(boxes[0])
    labels = facts.labels()
    classes = shapes[scores_at][2]
    if labels is not None and len(labels.names) == classes + 1:
        labels = labels.without_first()
    if labels is not None and len(labels.names) != classes:
        raise ModelUnavailable(
            f"the model has {classes} classes, but {len(labels.names)} labels", "check filter.labels"
        )
    logits = any(
        bool(sample.min() < -_MARGIN or sample.max() > 1 + _MARGIN) for sample in facts.real(scores_at)
    )
    names = labels.names if labels else None
    categories = Categories.of(labels, classes)
    return EfficientDetLayout(names, categories, boxes[0], scores_at, logits, _anchors(facts.size))


def _grids(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows and columns of each grid. Every stride halves the one before, rounded up."""
    return [(math.ceil(size[1] / stride), math.ceil(size[0] / stride)) for stride in _STRIDES]


def _anchors(size: tuple[int, int]) -> Floats:
    scale = 4.0 if max(size) >= _LITE4 else 3.0
    blocks = []
    for rows, columns in _grids(size):
        down, across = size[1] / rows, size[0] / columns  # a little less than the stride where it was rounded
        y, x = np.mgrid[0:rows, 0:columns]
        centres = np.stack([(y.ravel() + 0.5) * down, (x.ravel() + 0.5) * across], axis=1)
        kinds = []
        for octave in range(_OCTAVES):
            side = scale * 2 ** (octave / _OCTAVES)
            kinds += [
                (side * down / math.sqrt(aspect), side * across * math.sqrt(aspect)) for aspect in _ASPECTS
            ]
        block = np.empty((len(centres), len(kinds), 4))
        block[:, :, :2] = centres[:, None]
        block[:, :, 2:] = np.array(kinds)[None]
        blocks.append(block.reshape(-1, 4))
    anchors = np.concatenate(blocks) / np.array([size[1], size[0], size[1], size[0]])
    relative: Floats = anchors.astype(np.float32)
    return relative
