"""Plain classifiers: one output [1, C], one value a class, no boxes.

The values are probabilities that add up to one (softmax), a probability for each class, or logits;
which, the self-test's pictures tell. Quantised ones may add up to less: what was rounded away is given back
in proportion.

A frame's score is what does not go to `empty` or to things of no interest. A model that has no such class
keeps everything, and `trapd model test` says so; without labels it can be loaded and tested, but judges
nothing. Other outputs (embeddings) are passed over where the labels tell which one holds the classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import STRETCH
from trapd.backends.tflite.interpreter import Array
from trapd.backends.tflite.labels import CLASSES, EMPTY, NOTHING
from trapd.backends.tflite.pixels import UNIT
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen
from trapd.records import FrameScore

THRESHOLD: Final = 0.5
"""More likely not empty than empty."""

_TOLERANCE: Final = 0.02
_SUM_TOLERANCE: Final = 0.1

SOFTMAX: Final = "softmax"
SIGMOID: Final = "sigmoid"
LOGITS: Final = "logits"


class ClassifierLayout(Frozen):
    """Layout of a plain classifier. `means` holds, for each meaning, the classes that have it."""

    labels: tuple[str, ...] | None
    tells: frozenset[str]
    means: dict[str, list[int]]
    values: str
    output_at: int = 0
    note: str = ""
    name: str = "classifier"
    threshold: float = THRESHOLD
    pixels: str = UNIT
    fit: str = STRETCH
    raw: bool = False

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """See Layout."""
        # Plain numbers: a frame's few classes are summed before numpy has begun to look at them.
        values: list[float] = outputs[self.output_at].reshape(-1).tolist()
        total = sum(values)
        if not math.isfinite(total):
            raise ValueError("a value that is not a number")
        high = max(values)
        if self.values == LOGITS:
            values = [math.exp(value - high) for value in values]
            total = sum(values)
        elif not (min(values) >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise ValueError("probabilities outside 0 to 1")
        if self.labels is None:
            return FrameScore(0.0)
        if self.values == SIGMOID:
            found = {name: max([values[at] for at in places]) for name, places in self.means.items()}
        elif total > 0:
            found = {name: sum([values[at] for at in places]) / total for name, places in self.means.items()}
        else:
            found = {name: len(places) / len(values) for name, places in self.means.items()}
        found = {name: min(1.0, max(0.0, value)) for name, value in found.items()}
        return FrameScore(self._score(found), {name: found[name] for name in CLASSES if name in self.tells})

    def _score(self, found: dict[str, float]) -> float:
        uninteresting = [found[name] for name in (EMPTY, NOTHING) if name in found]
        if self.values != SIGMOID:
            return min(1.0, max(0.0, 1.0 - sum(uninteresting)))
        best = max((found[name] for name in found if name not in (EMPTY, NOTHING)), default=0.0)
        return max(best, 1.0 - found[EMPTY]) if EMPTY in found else best


def recognise(facts: ModelFacts) -> ClassifierLayout | None:
    """The layout, if one output is a row of values. Raises ModelUnavailable for odd labels."""
    labels = facts.labels()
    rows = [at for at, tensor in enumerate(facts.outputs) if _is_row(tensor.shape)]
    if len(facts.outputs) > 1 and labels is not None:
        rows = [at for at in rows if int(np.prod(facts.outputs[at].shape)) == len(labels.names)]
    if len(rows) > 1:  # probabilities, and the logits that they were made of
        rows = [at for at in rows if _kind_of(facts, at) == SOFTMAX]
    if len(rows) != 1 or (len(facts.outputs) > 1 and labels is None):
        return None
    at = rows[0]
    classes = int(np.prod(facts.outputs[at].shape))
    if labels is not None and len(labels.names) != classes:
        raise ModelUnavailable(
            f"the model has {classes} classes, but {len(labels.names)} labels", "check filter.labels"
        )
    means: dict[str, list[int]] = {}
    for number, name in enumerate(labels.meanings if labels else ()):
        means.setdefault(name, []).append(number)
    note = ""
    if means and not means.keys() & {EMPTY, NOTHING}:
        note = "no label means an empty picture: it keeps everything"
    elif means and not means.keys() - {EMPTY, NOTHING}:
        raise ModelUnavailable(
            "none of the model's labels means an animal, a person or a vehicle",
            "say in filter.labels what they mean, or take another model",
        )
    return ClassifierLayout(
        labels.names if labels else None,
        labels.told if labels else frozenset(),
        means,
        _kind_of(facts, at),
        at,
        note,
    )


def _is_row(shape: tuple[int, ...]) -> bool:
    """[1, C], or as many axes of length 1 as there may be, anywhere."""
    return max(shape, default=0) >= 2 and math.prod(shape) == max(shape)


def _kind_of(facts: ModelFacts, at: int) -> str:
    """What the values of this output are."""
    samples, quantised = facts.real(at), facts.outputs[at].dtype != "float32"
    if any(bool(np.any(sample < -_TOLERANCE) or np.any(sample > 1 + _TOLERANCE)) for sample in samples):
        return LOGITS
    sums = [float(sample.sum()) for sample in samples]
    most = max(sums) <= 1 + _SUM_TOLERANCE
    return SOFTMAX if most and (quantised or min(sums) >= 1 - _SUM_TOLERANCE) else SIGMOID
