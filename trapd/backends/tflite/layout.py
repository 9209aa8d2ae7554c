"""Which way a model's outputs are to be read.

`recognise` is called once, when a model is loaded; the Layout it returns is then asked for every frame, by
the classifier's thread. A new layout is one module with a `recognise` of its own and its name in `LAYOUTS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.interpreter import Array, Tensor
from trapd.errors import ModelUnavailable
from trapd.records import FrameScore


class Layout(Protocol):
    """How one kind of model is read. Immutable."""

    @property
    def name(self) -> str:
        """What the layout is called in `model test` and in the log."""

    @property
    def threshold(self) -> float:
        """Keep a frame whose score reaches this, unless the user says otherwise."""

    @property
    def tells(self) -> frozenset[str]:
        """The classes (animal, person, vehicle) it can tell apart reliably."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """What its classes are called; None: unknown, and then nothing can be judged."""

    @property
    def pixels(self) -> str:
        """The range that an input of floats has where nobody says another: see `pixels`."""

    @property
    def fit(self) -> str:
        """How such models are given a picture where nobody says otherwise: see `fit`."""

    @property
    def raw(self) -> bool:
        """Whether `decode` takes the outputs as the model has them, not in real numbers."""

    @property
    def note(self) -> str:
        """What a person who tests the model should know; mostly empty."""

    def decode(self, outputs: Sequence[Array]) -> FrameScore:
        """One frame's score from all outputs, in the model's order. Boxes are relative to the input.

        Raises ValueError, with a sentence, for values that are no score: NaN and infinity above all.
        """


LAYOUTS: Final = ("trapd", "ssd", "efficientdet", "classifier", "end2end", "yolo")
"""In this order; each is the module `layouts.NAME`, imported when those before it do not fit."""


def recognise(facts: ModelFacts) -> Layout:
    """The layout of this model. Raises ModelUnavailable for one that trapd does not know."""
    for name in LAYOUTS:
        layout = importlib.import_module(f"trapd.backends.tflite.layouts.{name}")
        found = cast(Callable[[ModelFacts], Layout | None], layout.recognise)(facts)
        if found is not None:
            return found
    shapes = ", ".join(str(tensor) for tensor in facts.outputs[:_SHAPES_NAMED])
    raise ModelUnavailable(
        f"the model's outputs ({shapes}) are of a layout that trapd does not know",
        "known are SSD, EfficientDet-Lite, YOLO and plain classifiers: see docs/models.md",
    )


_SHAPES_NAMED: Final = 6


def require_picture_input(inputs: Sequence[Tensor]) -> tuple[int, int]:
    """Width and height of the one picture that the model takes. Raises ModelUnavailable for anything else."""
    shapes = ", ".join(str(tensor) for tensor in inputs[:_SHAPES_NAMED]) or "nothing"
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1:
        raise ModelUnavailable(f"the model takes {shapes}, not one picture", _ONE_PICTURE)
    _, first, second, last = inputs[0].shape
    if last == 3:
        height, width = first, second
    elif first == 3:
        height, width = second, last
    else:
        raise ModelUnavailable(f"the model takes {shapes}, not a picture in three colours", _ONE_PICTURE)
    if not (16 <= height <= 4096 and 16 <= width <= 4096):
        raise ModelUnavailable(
            f"the model takes pictures of {width} x {height}: its size is not fixed",
            "export it for one size, such as 640 x 640",
        )
    if inputs[0].dtype not in ("uint8", "int8", "float32"):
        raise ModelUnavailable(
            f"the model takes {shapes}: only uint8, int8 and float32 are fed",
            "export it with an input of one of these types",
        )
    return width, height


_ONE_PICTURE: Final = "export it for a single picture, [1, height, width, 3] or [1, 3, height, width]"
