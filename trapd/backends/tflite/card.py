"""Two documents on a model: trapd's own trapd.json within it, and the card that a user gives beside it.

A user's card says what a model does not say of itself. Every key may be left out:

    {"labels": ["leopard", "leaf"], "classes": {"leopard": "animal", "leaf": "nothing", "*": "animal"},
     "pixels": "-1..1", "fit": "letterbox", "threshold": 0.3}

`pixels` may also be {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}, of bytes. Both functions
raise ValueError with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from trapd.backends.tflite.fit import FITS
from trapd.backends.tflite.labels import MEANINGS
from trapd.backends.tflite.pixels import RANGES
from trapd.frozen import Frozen, field

_KEYS: Final = ("labels", "classes", "pixels", "fit", "threshold")


class Card(Frozen):
    """trapd.json: how trapd's own models are to be read. Keep a frame when 1 - p(empty) >= threshold.

    `colours`: what a pixel's three numbers are, RGB or YCbCr.
    """

    name: str
    labels: tuple[str, ...]
    threshold: float
    colours: str = "RGB"


class Side(Frozen):
    """What the user says of a model."""

    labels: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    pixels: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: str | None = None
    threshold: float | None = None


def card_of(document: Any) -> Card:
    """The trapd.json of a model."""
    match document:
        case {
            "format": 1 | 2 as version,
            "task": "camera-trap-filter",
            "name": str(name),
            "labels": [*labels],
            "threshold": float(threshold),
        }:
            if "empty" not in labels or not all(isinstance(label, str) for label in labels):
                raise ValueError("its labels are no list of names with `empty` among them")
            if not 0.0 < threshold < 1.0:
                raise ValueError(f"its threshold {threshold} is not between 0 and 1")
            return Card(name, tuple(labels), threshold, _colours(version, document))
    raise ValueError("it is of another format")


def _colours(version: int, document: Any) -> str:
    match document.get("input"):
        case {"colour": "RGB" | "YCbCr" as colours}:
            return str(colours)
    if version == 1:
        return "RGB"
    raise ValueError("it does not say what its input's colours are")


def side_of(document: Any) -> Side:
    """The card that a user gave."""
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 (a document's fault, not the program's)
    unknown = [key for key in document if key not in _KEYS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(_KEYS)}")
    mean, std = _normalisation(document.get("pixels"))
    pixels = document.get("pixels") if not mean else None
    if pixels not in (None, *RANGES):
        raise ValueError(f"pixels is none of {', '.join(RANGES)}")
    fit = document.get("fit")
    if fit not in (None, *FITS):
        raise ValueError(f"fit is none of {', '.join(FITS)}")
    return Side(
        _labels(document.get("labels", [])),
        _classes(document.get("classes", {})),
        pixels,
        mean,
        std,
        fit,
        _threshold(document.get("threshold")),
    )


def _labels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise ValueError("labels is no list of names")
    return tuple(value)


def _classes(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(said in MEANINGS for said in value.values()):
        raise ValueError(f"classes does not say of each label one of {', '.join(MEANINGS)}")
    return value


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError("threshold is not between 0 and 1")
    return float(value)


def _normalisation(value: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not isinstance(value, dict):
        return (), ()
    sides = [value.get(name) for name in ("mean", "std")]
    for side in sides:
        numbers = side if isinstance(side, list) else []
        sound = all(
            isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
            for number in numbers
        )
        if len(numbers) not in (1, 3) or not sound:
            raise ValueError("pixels needs mean and std, of one or three numbers each")
    mean, std = ([float(number) for number in side or ()] for side in sides)
    if min(std) <= 0:
        raise ValueError("a std in pixels is not above 0")
    return tuple(mean), tuple(std)
