"""What a model's labels mean to a camera trap: animal, person, vehicle, empty, or nothing of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ANIMAL: Final = "animal"
PERSON: Final = "person"
VEHICLE: Final = "vehicle"
EMPTY: Final = "empty"

_NAMES: Final = {
    ANIMAL: (
        # MegaDetector, then COCO
        "animal animals wildlife bird cat dog horse sheep cow elephant bear zebra giraffe"
    ),
    PERSON: "person persons people human humans homo_sapiens",
    VEHICLE: "vehicle vehicles bicycle car motorcycle airplane bus train truck boat motorbike aeroplane",
    EMPTY: "empty blank background nothing none no_animal no_animals non_animal false_positive ???",
}

_MEANING: Final = {name: meaning for meaning, names in _NAMES.items() for name in names.split()}

CLASSES: Final = (ANIMAL, PERSON, VEHICLE)


def meaning(label: str) -> str | None:
    """`animal`, `person`, `vehicle` or `empty`; None for a label that means none of them for certain."""
    plain = label.strip().lower().replace(" ", "_").replace("-", "_")
    return _MEANING.get(plain)


def told(labels: Sequence[str]) -> frozenset[str]:
    """The classes that at least one label stands for."""
    return frozenset(found for label in labels if (found := meaning(label)) in CLASSES)


def parse_labels(text: str) -> tuple[str, ...]:
    """One label a line, or `NUMBER label` with gaps left empty, as Coral's files have it.

    Raises ValueError, with a sentence, for what is no list of labels.
    """
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError("the label file is empty")
    numbered = [line.split(maxsplit=1) for line in lines if line]
    if not all(len(parts) == 2 and parts[0].rstrip(":").isascii() for parts in numbered) or not all(
        parts[0].rstrip(":").isdigit() for parts in numbered
    ):
        return tuple(lines)
    places = {int(parts[0].rstrip(":")): parts[1] for parts in numbered}
    if len(places) != len(numbered) or max(places) > _MOST_LABELS:
        raise ValueError("the label file numbers a label twice, or beyond any model's")
    return tuple(places.get(place, "") for place in range(max(places) + 1))


_MOST_LABELS: Final = 100_000
