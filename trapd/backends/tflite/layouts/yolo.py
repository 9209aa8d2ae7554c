"""YOLO's detectors without their own suppression: one row of numbers for each place of a grid.

`yolov8` (also 9, 11 and RT-DETR) gives centre, size, and a confidence for each class: [1, 4+C, N], or
[1, N, 4+C]. `yolov5` (also 3, 6, 7 and X) has an objectness before the classes: [1, N, 5+C]. Boxes are in
pixels of the input, or relative to it; values may be quantised. Masks and key points are passed over.

Two shapes may look alike. What decides, in this order: the number of labels, the number of places that a grid
of the input's size has, COCO's 80 classes, the range of the values, and which axis is the shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from trapd.backends.tflite.boxes import Categories, Floats, score_candidates
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import LETTERBOX
from trapd.backends.tflite.interpreter import Array, Tensor, real
from trapd.backends.tflite.labels import Labels
from trapd.backends.tflite.pixels import UNIT
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import FrameScore

THRESHOLD: Final = 0.2
"""What MegaDetector's makers advise."""

MEGADETECTOR: Final = ("animal", "person", "vehicle")
"""Three classes without labels are taken for these: no other detector with three is as common at a trap."""

_LOWEST: Final = 0.01  # candidates below this are not looked at
_PIXELS_FROM: Final = 2.0  # no relative coordinate is as large
_MARGIN: Final = 0.06
_COCO: Final = 80
_ENOUGH: Final = 1.0  # evidence; less is no YOLO
_MASKS: Final = 32
_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_ANCHORS: Final = 3


class Form(Frozen):
    """One way to read the output: `channels_first` is [channels, places]; `objectness` is yolov5's."""

    channels_first: bool
    objectness: bool
    classes: int

    @property
    def begin(self) -> int:
        """The channel of the first class."""
        return 5 if self.objectness else 4

    def channels(self, raw: Array) -> Array:
        """[channels, places], as a view."""
        return raw if self.channels_first else raw.T


class YoloLayout(Frozen):
    """Layout of YOLO without suppression. `pixels_of`: the input's size for boxes in pixels, else 1, 1."""

    labels: tuple[str, ...] | None
    categories: Categories
    form: Form
    tensor: Tensor
    output_at: int
    pixels_of: tuple[int, int]
    logits: bool
    note: str = ""
    threshold: float = THRESHOLD
    pixels: str = UNIT
    fit: str = LETTERBOX
    raw: bool = True

    @property
    def name(self) -> str:
        """See Layout."""
        return "yolov5" if self.form.objectness else "yolov8"

    @property
    def tells(self) -> frozenset[str]:
        """See Layout."""
        return self.categories.told if self.labels else frozenset()

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        raw = flat(outputs[self.output_at])
        if raw is None:
            raise ValueError(f"an output of shape {list(outputs[self.output_at].shape)}")
        if raw.dtype.kind == "f" and not math.isfinite(float(raw.sum())):
            raise ValueError("a value that is not a number")
        channels = self.form.channels(raw)
        scores, numbers, places = self._candidates(channels)

        def corners(wanted: Array) -> Floats:
            boxes: Floats = real(channels[:4, places[wanted]], self.tensor).astype(np.float32).T
            boxes = boxes / np.array([*self.pixels_of, *self.pixels_of], np.float32)
            half = boxes[:, 2:] / 2
            return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)

        return score_candidates(self.categories, scores, numbers, corners, join=True)

    def _candidates(self, channels: Array) -> tuple[Floats, Array, Array]:
        """Confidence, class number and place of whatever may be something, by the classes that count."""
        form, kept = self.form, self.categories.kept_rows()
        classes = channels[form.begin : form.begin + form.classes]
        if form.objectness:
            sure = self._confidences(channels[4])
            places = np.flatnonzero(sure >= _LOWEST)
            classes = classes[:, places]
            classes = classes if kept is None else classes[kept]
            if not classes.size:
                return np.zeros(0, np.float32), np.zeros(0, np.intp), places
            scores = self._confidences(classes.max(axis=0)) * sure[places]
            rows = classes.argmax(axis=0)
        else:
            classes = classes if kept is None else classes[kept]
            if not classes.size:
                return np.zeros(0, np.float32), np.zeros(0, np.intp), np.zeros(0, np.intp)
            every = self._confidences(classes.max(axis=0))
            places = np.flatnonzero(every >= _LOWEST)
            scores, rows = every[places], classes[:, places].argmax(axis=0)
        return scores, rows if kept is None else kept[rows], places

    def _confidences(self, raw: Array) -> Floats:
        values = real(raw, self.tensor).astype(np.float32, copy=False)
        if not self.logits:
            return values
        powers: Floats = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
        return powers


def recognise(facts: ModelFacts) -> YoloLayout | None:
    """The layout, if one output has the shape. Raises ModelUnavailable for labels of another model."""
    output_at, masks = detection_output(facts)
    if output_at is None:
        return None
    samples = [found for sample in facts.samples if (found := flat(sample[output_at])) is not None]
    if len(samples) < len(facts.samples) or min(samples[0].shape) < 1:
        return None
    facts.require_scale(output_at)
    labels = facts.labels()
    tensor = facts.outputs[output_at]
    weighed = [
        (_evidence(form, facts, tensor, samples, labels), form)
        for form in _forms(samples[0].shape, labels, facts.metadata.task, masks)
    ]
    weight, form = max(weighed, key=lambda pair: pair[0], default=(0.0, None))
    if form is None or weight < _ENOUGH:
        return None
    note = ""
    if labels is None and form.classes == len(MEGADETECTOR):
        labels = Labels.of(MEGADETECTOR)
        note = "three classes without labels: taken for MegaDetector's"
    if labels is not None and len(labels.names) == form.classes + 1:
        labels = labels.without_first() if labels.meanings[0] in ("empty", "nothing") else labels
    if labels is not None and len(labels.names) != form.classes:
        raise ModelUnavailable(
            f"the model has {form.classes} classes, but {len(labels.names)} labels", "check filter.labels"
        )
    ranges = [real(form.channels(sample)[:4], tensor) for sample in samples]
    in_pixels = max(float(values.max()) for values in ranges) > _PIXELS_FROM
    return YoloLayout(
        labels.names if labels else None,
        Categories.of(labels, form.classes),
        form,
        tensor,
        output_at,
        facts.size if in_pixels else (1, 1),
        not all(_probable(form, sample, tensor) for sample in samples),
        note,
    )


def detection_output(facts: ModelFacts) -> tuple[int | None, int]:
    """Which output holds the boxes, and how many channels of it belong to masks."""
    if len(facts.outputs) == 1:
        return 0, 0
    ranks = [len(tensor.shape) for tensor in facts.outputs]
    if sorted(ranks) == [3, 4]:
        protos = facts.outputs[ranks.index(4)].shape
        if _MASKS in (protos[1], protos[3]):
            return ranks.index(3), _MASKS
    return None, 0


def flat(array: Array) -> Array | None:
    """[a, b] of [1, a, b], also with further axes of length 1; None for any other shape."""
    shape = array.shape
    if len(shape) == 3 and shape[0] == 1:
        picture: Array = array[0]
        return picture
    if len(shape) == 4 and shape[0] == 1 and 1 in shape[1:]:
        one = len(shape) - 1 - shape[:0:-1].index(1)
        table: Array = array.reshape([length for axis, length in enumerate(shape[1:], 1) if axis != one])
        return table
    if len(shape) == 2 and shape[0] > 1:
        return array
    return None


def _forms(shape: tuple[int, ...], labels: Labels | None, task: str, masks: int) -> Iterator[Form]:
    """Every way to read such a shape. Key points stand behind the classes: labels tell where."""
    for channels_first in (True, False):
        channels = shape[0 if channels_first else 1] - masks
        for objectness in (False, True):
            classes = channels - (5 if objectness else 4)
            if labels is not None and task in ("pose", "obb") and classes > len(labels.names):
                classes = len(labels.names)
            if classes >= 1:
                yield Form(channels_first, objectness, classes)


def _evidence(
    form: Form, facts: ModelFacts, tensor: Tensor, samples: Sequence[Array], labels: Labels | None
) -> float:
    """How much speaks for this way."""
    channels, places = form.channels(samples[0]).shape
    weight = 0.0
    if labels is not None and len(labels.names) == form.classes:
        weight += 8
    every_grid = grid_places(facts.size, 1) | grid_places(facts.size, _ANCHORS)
    if labels is None and form.classes == _COCO:
        weight += 5 if places in every_grid else 2
    if labels is None and form.classes == len(MEGADETECTOR):
        weight += 2
    probable = all(_probable(form, sample, tensor) for sample in samples)
    if places in grid_places(facts.size, _ANCHORS if form.objectness else 1):
        weight += 4
    elif not weight or not probable:
        return 0.0  # a table of numbers, of which nothing says what they are
    if channels < places:
        weight += 1
    if probable:
        weight += 1.5
    if form.channels_first != form.objectness:
        weight += 0.5
    return weight if form.objectness else weight + 0.25


def grid_places(size: tuple[int, int], anchors: int) -> frozenset[int]:
    """How many places the grids of an input of this size can have."""
    return frozenset(
        anchors * sum(math.ceil(size[0] / stride) * math.ceil(size[1] / stride) for stride in strides)
        for strides in _STRIDES
    )


def _probable(form: Form, sample: Array, tensor: Tensor) -> bool:
    """Whether what would be confidences lies between 0 and 1."""
    values = form.channels(sample)[4 : form.begin + form.classes]
    ends = real(np.array([values.min(), values.max()]), tensor)
    return bool(ends[0] >= -_MARGIN and ends[1] <= 1 + _MARGIN)
