"""The photographs that the default model is made of: listed here by source and sha256, found in folders.

The list is `photographs.csv`; the photographs themselves are no part of the project. `boxes` were drawn by
hand for the project. `found` is what a detector made of the photograph and of nine parts of it (COCO SSD, the
strongest first; a `?` before what it was not sure of): views are made by these. A photograph is known by its
sha256, or by its name where it was reduced anew.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

LIST = Path(__file__).with_name("photographs.csv")
EMPTY = "empty"
LABELS = ("animal", "person", "vehicle", EMPTY)
SMALL_AREA = 0.01  # of the photograph: the largest thing on it is smaller


@dataclass(frozen=True, slots=True)
class Box:
    """Where something is; relative to the photograph. `sure` False: something may be there."""

    left: float
    top: float
    right: float
    bottom: float
    sure: bool = True

    @property
    def area(self) -> float:
        """Of the photograph's."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Photograph:
    """One line of the list. `trap`: from a camera trap. `path` None: not found."""

    file: str
    sha256: str
    label: str
    night: bool
    trap: bool
    set: str
    licence: str
    boxes: tuple[Box, ...] = ()
    path: Path | None = None
    found: tuple[Box, ...] = ()

    @property
    def located(self) -> bool:
        """Whether the detector found something on it, where there is something."""
        return self.label == EMPTY or any(box.sure for box in self.found)

    @property
    def small(self) -> bool:
        """Whether the largest thing on it is small."""
        sure = [box.area for box in self.boxes if box.sure]
        return bool(sure) and max(sure) < SMALL_AREA


@dataclass(frozen=True, slots=True)
class Found:
    """What folders hold of the list, in the list's order."""

    photographs: tuple[Photograph, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]  # found by name, with other bytes


def listed(file: Path = LIST) -> tuple[Photograph, ...]:
    """Every photograph of the list."""
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Photograph(
                file=row["file"],
                sha256=row["sha256"],
                label=row["label"],
                night=row["light"] == "night",
                trap=row["kind"] == "trap",
                set=row["set"],
                licence=row["licence"],
                boxes=_boxes(row["boxes"]),
                found=_boxes(row["found"]),
            )
            for row in csv.DictReader(lines)
        )


def _boxes(text: str) -> tuple[Box, ...]:
    return tuple(map(_box, text.split()))


def _box(text: str) -> Box:
    left, top, right, bottom = map(float, text.lstrip("?").split(":"))
    return Box(left, top, right, bottom, sure=not text.startswith("?"))


def find(folders: Sequence[Path], photographs: Sequence[Photograph]) -> Found:
    """Where the listed photographs lie below `folders`."""
    by_sum: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    for path in _pictures(folders):
        by_sum.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
        by_name.setdefault(path.name, path)
    found: list[Photograph] = []
    missing: list[str] = []
    changed: list[str] = []
    for one in photographs:
        exact, named = by_sum.get(one.sha256), by_name.get(Path(one.file).name)
        place = exact or named
        if place is None:
            missing.append(one.file)
            continue
        if exact is None:
            changed.append(one.file)
        found.append(replace(one, path=place))
    return Found(tuple(found), tuple(missing), tuple(changed))


def _pictures(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in {".jpg", ".jpeg", ".png"} and path.is_file():
                yield path
