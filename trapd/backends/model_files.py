"""Where models lie: those that come with trapd, and those installed below storage.path.

`<models>/NAME.tflite`, beside it `NAME.json` (a note: sha256, source, when installed) and, where the model
needs it, `NAME.labels.txt` or `.json`. model_install puts them there. Called by `trapd model`, by the
composition root to find a model, and by the classifier to learn whether somebody vouches for its bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Final

from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen

NAME: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
"""What a model may be called."""

_PIECE_BYTES: Final = 1 << 20

SHIPPED: Final = {
    "default": (
        "trapd_lite1_320_i8.tflite",
        "1be7a60957709f98626a2225514f07711599df68f9e7be079bf8ed2681c032f6",
    ),
    "trapd-lite0-256": (
        "trapd_lite0_256_i8.tflite",
        "e0d761bb6518400ddff68789f43e69fb31b109e14b217da88a8ac30c59f288ea",
    ),
}
"""Models in the package: name to file and sha256."""


class Note(Frozen):
    """What is known of where a model came from."""

    sha256: str
    source: str
    installed: str


class Installed(Frozen):
    """One model that can be named. `note` None: put there by hand, nobody vouches for it."""

    name: str
    path: Path
    bytes: int
    labels: Path | None
    note: Note | None


def find(name: str, models: Path | None) -> Path:
    """The file of a model: by name, or by path when `name` looks like one.

    The file need not exist yet: the classifier says so when it opens it. Raises ModelUnavailable for a name
    that no model can have.
    """
    if name in SHIPPED:
        return _shipped(name)
    if os.sep in name or name.endswith(".tflite"):
        return Path(name)
    if models is None or not re.fullmatch(NAME, name):
        raise ModelUnavailable(f"there is no model {name!r}", "trapd model list shows what is installed")
    return models / f"{name}.tflite"


def listing(models: Path | None) -> list[Installed]:
    """Every model that can be named: those of the package, then those installed, by name."""
    found = [described(name, _shipped(name)) for name in SHIPPED]
    if models is not None and models.is_dir():
        found += [
            described(path.stem, path)
            for path in sorted(models.glob("*.tflite"))
            if re.fullmatch(NAME, path.stem) and path.stem not in SHIPPED
        ]
    return found


def labels_of(path: Path) -> Path | None:
    """The label file installed beside a model, if there is one."""
    return next((file for file in labels_paths(path) if file.is_file()), None)


def labels_paths(path: Path) -> tuple[Path, Path]:
    """Where the labels of a model are kept, as a list and as a card (JSON)."""
    return path.with_name(path.stem + ".labels.txt"), path.with_name(path.stem + ".labels.json")


def beside(path: Path) -> Path | None:
    """A label file that belongs to a model by its place: `NAME.txt`, or labels.txt beside it alone."""
    try:
        named = path.with_suffix(".txt")
        if named != path and named.is_file():
            return named
        common = [path.with_name(name) for name in ("labels.txt", "labelmap.txt")]
        found = next((file for file in common if file.is_file()), None)
        alone = found is not None and len(list(path.parent.glob("*.tflite"))) <= 1
    except (OSError, ValueError):
        return None
    return found if alone else None


def note_path(path: Path) -> Path:
    """Where the note on a model is kept."""
    return path.with_suffix(".json")


def vouched_sha256(path: Path) -> str | None:
    """The sha256 that this file was installed with, having passed its tests; None when nobody noted one."""
    note = _note_of(path)
    return note.sha256 if note else None


def sha256_of(path: Path) -> str:
    """Of the whole file, read in pieces. Raises ModelUnavailable."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
    except OSError as error:
        raise ModelUnavailable(
            f"the model {path} cannot be read: {error.strerror}", "trapd model list shows what is installed"
        ) from error
    return digest.hexdigest()


def _shipped(name: str) -> Path:
    return Path(__file__).resolve().parent.parent / "data" / SHIPPED[name][0]


def described(name: str, path: Path) -> Installed:
    """What is known of the model `name` in `path`."""
    size = path.stat().st_size if path.is_file() else 0
    return Installed(name, path, size, labels_of(path), _note_of(path))


def _note_of(path: Path) -> Note | None:
    for name, (_, sha256) in SHIPPED.items():
        if path == _shipped(name):
            return Note(sha256, "comes with trapd", "")
    try:
        document = json.loads(note_path(path).read_bytes())
        return Note(str(document["sha256"]), str(document["source"]), str(document["installed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return (
            None  # no note, or a damaged one: nobody vouches for the file, and it is tried in a child first
        )
