"""What a model's labels mean to a camera trap: animal, person, vehicle, empty, or nothing of interest.

Pure, on any thread. The user's word goes first, then sets known by their labels (ImageNet, iNaturalist), then
single names (MegaDetector, COCO, common animals). A label that none of these knows is `unclassified`: it
counts as something, for what trapd cannot name it must not throw away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from trapd.backends.tflite import label_sets as sets
from trapd.frozen import Frozen

ANIMAL: Final = "animal"
PERSON: Final = "person"
VEHICLE: Final = "vehicle"
EMPTY: Final = "empty"
NOTHING: Final = "nothing"
UNCLASSIFIED: Final = "unclassified"

CLASSES: Final = (ANIMAL, PERSON, VEHICLE)
MEANINGS: Final = (*CLASSES, UNCLASSIFIED, EMPTY, NOTHING)
"""What a label file may say of a label."""

EVERY_OTHER: Final = "*"
"""In a label file: all labels that neither it nor trapd knows."""

_NUMBERED: Final = re.compile(r"(\d{1,9})(?::?\s+|[,;:]\s*)(\S.*)", re.ASCII)

_MEANING: Final = {
    name.replace("-", "_"): meaning
    for meaning, names in (
        (NOTHING, sets.THINGS),
        (EMPTY, sets.EMPTIES),
        (VEHICLE, sets.VEHICLES),
        (ANIMAL, sets.ANIMALS),
        (PERSON, sets.PERSONS),
    )
    for name in names
}
_MOST_LABELS: Final = 100_000


class Labels(Frozen):
    """A model's labels by class number, and what each means (one of MEANINGS)."""

    names: tuple[str, ...]
    meanings: tuple[str, ...]

    @staticmethod
    def of(names: Sequence[str], given: Mapping[str, str] | None = None) -> Labels:
        """`given`: what the user says of labels, by name; `*` for all that are not known."""
        said = {_plain(name): meaning for name, meaning in (given or {}).items()}
        unknown = said.get(EVERY_OTHER, UNCLASSIFIED)
        known = _recognised(names)
        meanings = tuple(
            said.get(_plain(name), found or unknown) for name, found in zip(names, known, strict=True)
        )
        return Labels(tuple(names), meanings)

    def without_first(self) -> Labels:
        """All but class 0."""
        return Labels(self.names[1:], self.meanings[1:])

    @property
    def told(self) -> frozenset[str]:
        """The classes that at least one label stands for."""
        return frozenset(self.meanings) & frozenset(CLASSES)


def meaning(label: str) -> str | None:
    """One of MEANINGS for a single label; None for one that is not known."""
    if not label.strip():
        return NOTHING  # a number that is not used
    return (
        _MEANING.get(_plain(label))
        or _MEANING.get(_plain(label.split(",", maxsplit=1)[0]))
        or _lineage(label)
    )


def _lineage(label: str) -> str | None:
    """Of `uuid;class;order;...;common name`, by its last part where the lineage itself is empty."""
    last = _plain(label.rpartition(";")[2])
    return _MEANING.get(last) if ";" in label and last in _MEANING else sets.lineage_class(label)


def told(labels: Sequence[str]) -> frozenset[str]:
    """The classes that at least one label stands for."""
    return Labels.of(labels).told


def _recognised(names: Sequence[str]) -> Sequence[str | None]:
    base = sets.imagenet_base(names)
    if base is not None:
        return [EMPTY for _ in range(base)] + [
            sets.imagenet_class(number) for number in range(len(names) - base)
        ]
    species = sets.are_species(names)
    if sets.KEYBOARD in map(_plain, names):
        names = ["" if _plain(name) == sets.MOUSE else name for name in names]  # COCO's is no animal
    return [meaning(name) or (sets.species_class(name) if species else None) for name in names]


def _plain(label: str) -> str:
    return label.strip().lower().replace(" ", "_").replace("-", "_")


def parse_labels(text: str) -> tuple[str, ...]:
    """One label a line, or `NUMBER label` with gaps left empty, as Coral's files have it; also
    `NUMBER: label` and `NUMBER,label`.

    Raises ValueError, with a sentence, for what is no list of labels.
    """
    return parse_label_file(text)[0]


def parse_label_file(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The labels, and what lines of the form `label = animal` say of them. Raises ValueError."""
    lines = [line.strip() for line in text.splitlines()]
    given: dict[str, str] = {}
    plain = []
    for line in lines:
        label, _, said = (part.strip() for part in line.rpartition("="))
        explained = bool(label) and said in MEANINGS
        if explained:
            given[_unnumbered(label)] = said
        if not (explained and label == EVERY_OTHER):
            plain.append(label if explained else line)
    return _listed(plain), given


def _listed(lines: list[str]) -> tuple[str, ...]:
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError("the label file is empty")
    numbered = [_NUMBERED.fullmatch(line) for line in lines if line]
    places = {int(found[1]): found[2] for found in numbered if found is not None}
    if None in numbered:
        return tuple(lines)
    if len(places) != len(numbered) or max(places) > _MOST_LABELS:
        raise ValueError("the label file numbers a label twice, or beyond any model's")
    return tuple(places.get(place, "") for place in range(max(places) + 1))


def _unnumbered(label: str) -> str:
    found = _NUMBERED.fullmatch(label)
    return found[2] if found is not None else label
