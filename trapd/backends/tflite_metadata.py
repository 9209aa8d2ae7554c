"""What a model says of itself: the zip at the end of its file, and a label file beside it.

Read once, when the model is loaded. Every part may be hostile: sizes are bounded, and nothing is unpacked.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trapd.backends.tflite_interpreter import Array, Tensor
from trapd.backends.tflite_labels import parse_labels
from trapd.errors import ModelUnavailable

_CARD: Final = "trapd.json"
_LABEL_FILES: Final = ("labelmap.txt", "labels.txt")
_MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Card:
    """trapd.json: how trapd's own models are to be read. Keep a frame when 1 - p(empty) >= threshold."""

    name: str
    labels: tuple[str, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Metadata:
    """`labels` are those of the user's label file if given, else those in the model file; None without."""

    labels: tuple[str, ...] | None = None
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """All that a layout can be recognised by.

    `samples` holds the outputs for each picture of the self-test, real-valued: where shapes are alike, ranges
    tell.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Metadata
    samples: Sequence[Sequence[Array]]


def read_metadata(path: Path, labels: Path | None) -> Metadata:
    """Raises ModelUnavailable for a label file or card that cannot be read."""
    inside = _zipped(path)
    card = _card(path, inside[_CARD]) if _CARD in inside else None
    if labels is not None:
        return Metadata(_labels_from(labels), card)
    for name in _LABEL_FILES:
        if name in inside:
            return Metadata(_parsed(inside[name], f"{name} in {path.name}"), card)
    return Metadata(None, card)


def _zipped(path: Path) -> dict[str, bytes]:
    """The files trapd knows of in the zip at the end of a model; none if there is no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for entry in archive.infolist():
                if entry.filename in (_CARD, *_LABEL_FILES) and entry.file_size <= _MOST_BYTES:
                    with archive.open(entry) as file:
                        found[entry.filename] = file.read(_MOST_BYTES)
            return found
    except zipfile.BadZipFile:
        return {}
    except (OSError, RuntimeError, NotImplementedError, ValueError, EOFError, zlib.error) as error:
        raise ModelUnavailable(f"the metadata in {path.name} cannot be read: {error}") from error


def _card(path: Path, data: bytes) -> Card:
    try:
        return _card_of(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(
            f"{_CARD} in {path.name} cannot be used: {error}", "a newer trapd may know this model"
        ) from error


def _card_of(document: Any) -> Card:
    match document:
        case {
            "format": 1,
            "task": "camera-trap-filter",
            "name": str(name),
            "labels": [*labels],
            "threshold": float(threshold),
        }:
            if "empty" not in labels or not all(isinstance(label, str) for label in labels):
                raise ValueError("its labels are no list of names with `empty` among them")
            if not 0.0 < threshold < 1.0:
                raise ValueError(f"its threshold {threshold} is not between 0 and 1")
            return Card(name, tuple(labels), threshold)
    raise ValueError("it is of another format")


def _labels_from(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelUnavailable(
            f"the label file {path} cannot be read: {error.strerror}", "check filter.labels"
        ) from error
    if len(data) > _MOST_BYTES:
        raise ModelUnavailable(f"the label file {path} is larger than {_MOST_BYTES} bytes")
    return _parsed(data, f"the label file {path}")


def _parsed(data: bytes, where: str) -> tuple[str, ...]:
    try:
        return parse_labels(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ModelUnavailable(
            f"{where} cannot be used: {error}", "a label file has one label a line, in UTF-8"
        ) from error
