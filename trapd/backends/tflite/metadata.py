"""What a model says of itself: the zip at the end of its file, TFLite metadata in it, and files beside it.

Read once, when the model is loaded. Every part may be hostile: sizes are bounded, and nothing is unpacked.

Labels are those of the user's label file if given, else those in the model file (`labelmap.txt`,
`labels.txt`, what TFLite metadata names, or the names that YOLO's exporters write), else those of `NAME.txt`
beside it, or of `labels.txt` or `labelmap.txt` in a folder with no other model.
"""

from __future__ import annotations

import ast
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trapd.backends.model_files import beside
from trapd.backends.tflite.card import Card, Side, card_of, side_of
from trapd.backends.tflite.flatbuffer import Described, described
from trapd.backends.tflite.labels import parse_label_file
from trapd.backends.tflite.pixels import UNIT
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen, field, replace

_CARD: Final = "trapd.json"
_LABEL_FILES: Final = ("labelmap.txt", "labels.txt")
_NAMES_FILES: Final = ("metadata.json", "temp_meta.txt", "meta.txt")
_MOST_BYTES: Final = 1_000_000
_MOST_ENTRIES: Final = 1000


class Metadata(Frozen):
    """`labels` None: it has none. `classes`: what the user says of labels, `*` for every other.

    `pixels`, `mean` and `std`: how its input is normalised, `fit`: how a picture is laid into it,
    `threshold`: from where to keep; empty or None where nobody says. `task`: its exporter's word.
    """

    labels: tuple[str, ...] | None = None
    card: Card | None = None
    classes: Mapping[str, str] = field(default_factory=dict)
    pixels: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: str | None = None
    threshold: float | None = None
    task: str = ""


def read_metadata(path: Path, labels: Path | None) -> Metadata:
    """Raises ModelUnavailable for a label file or card that cannot be read."""
    try:
        facts = described(path)
    except OSError as error:
        raise ModelUnavailable(f"the model {path} cannot be read: {error.strerror}") from error
    inside = _zipped(path, facts)
    found = _named(path, inside, facts)
    if _CARD in inside:
        found = replace(found, card=_card(path, inside[_CARD]))
    if labels is not None:
        return _with_side(found, labels)
    if found.labels is None and (loose := beside(path)) is not None:
        return _with_side(found, loose)
    return found


def _named(path: Path, inside: Mapping[str, bytes], facts: Described) -> Metadata:
    """What the model file itself says."""
    found = Metadata(mean=facts.mean, std=facts.std)
    for name in (*_NAMES_FILES, *facts.label_files):
        if name in inside and (document := _literal(inside[name])) is not None:
            found = _of_ultralytics(found, document)
            break
    for name in (*_LABEL_FILES, *facts.label_files):
        if name in inside and _literal(inside[name]) is None:
            names, classes = _parsed(inside[name], f"{name} in {path.name}")
            return replace(found, labels=names, classes=classes)
    return found


def _of_ultralytics(found: Metadata, document: Mapping[str, Any]) -> Metadata:
    """What the dictionary says that YOLO's exporters write."""
    task = document.get("task")
    theirs = isinstance(task, str) or "stride" in document
    return replace(
        found,
        labels=_names_of(document),
        task=task if isinstance(task, str) else "",
        pixels=UNIT if theirs and not found.mean else None,
    )


def _zipped(path: Path, facts: Described) -> dict[str, bytes]:
    """The files trapd knows of in the zip at the end of a model, by their last names; none without a zip."""
    import zipfile  # with its compressions it is not small

    known = {_CARD, *_LABEL_FILES, *_NAMES_FILES, *facts.label_files}
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for entry in archive.infolist()[:_MOST_ENTRIES]:
                name = PurePosixPath(entry.filename).name
                if (entry.filename in known or name in known) and entry.file_size <= _MOST_BYTES:
                    with archive.open(entry) as file:
                        found[entry.filename if entry.filename in known else name] = file.read(_MOST_BYTES)
            return found
    except zipfile.BadZipFile:
        return {}
    except (OSError, RuntimeError, NotImplementedError, ValueError, EOFError, zlib.error) as error:
        raise ModelUnavailable(f"the metadata in {path.name} cannot be read: {error}") from error


def _literal(data: bytes) -> dict[str, Any] | None:
    """A dictionary in JSON or as Python writes one; None for anything else."""
    try:
        text = data.decode("utf-8-sig")
        document = json.loads(text) if text.lstrip().startswith('{"') else ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _names_of(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Ultralytics' `names`: a list, or a dictionary by class number."""
    names = document.get("names")
    if isinstance(names, dict) and names:
        try:
            numbered = {int(number): str(name) for number, name in names.items()}
        except (ValueError, TypeError):
            return None
        if sorted(numbered) != list(range(len(numbered))):
            return None
        return tuple(numbered[number] for number in range(len(numbered)))
    if isinstance(names, list | tuple) and names:
        return tuple(map(str, names))
    return None


def _card(path: Path, data: bytes) -> Card:
    try:
        return card_of(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(
            f"{_CARD} in {path.name} cannot be used: {error}", "a newer trapd may know this model"
        ) from error


def _with_side(found: Metadata, path: Path) -> Metadata:
    """What the user's label file or card says goes before what the model says."""
    data = _read(path)
    if not data.lstrip().startswith(b"{"):
        names, classes = _parsed(data, f"the label file {path}")
        return replace(found, labels=names, classes=classes)
    try:
        side = side_of(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(
            f"the label file {path} cannot be used: {error}", "docs/models.md says what it may hold"
        ) from error
    return replace(found, **dict(_said(side)))


def _said(side: Side) -> Iterator[tuple[str, Any]]:
    if side.labels:
        yield "labels", side.labels
    if side.classes:
        yield "classes", side.classes
    if side.pixels is not None or side.mean:
        yield from (("pixels", side.pixels), ("mean", side.mean), ("std", side.std))
    if side.fit is not None:
        yield "fit", side.fit
    if side.threshold is not None:
        yield "threshold", side.threshold


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelUnavailable(
            f"the label file {path} cannot be read: {error.strerror}", "check filter.labels"
        ) from error
    if len(data) > _MOST_BYTES:
        raise ModelUnavailable(f"the label file {path} is larger than {_MOST_BYTES} bytes")
    return data


def _parsed(data: bytes, where: str) -> tuple[tuple[str, ...], dict[str, str]]:
    try:
        return parse_label_file(_text(data))
    except ValueError as error:
        raise ModelUnavailable(
            f"{where} cannot be used: {error}", "a label file has one label a line, in UTF-8"
        ) from error


def _text(data: bytes) -> str:
    """Raises ValueError. A zero byte is UTF-16's, which may pass for UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("it is not text in UTF-8")
    return text
