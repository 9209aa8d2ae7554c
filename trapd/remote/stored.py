"""The values of a remote configuration as they lie in files: read strictly, or not at all. Pure; any thread.

A checksum says that a file is as it was written. This says that it is of these values: one of another trapd,
or made by hand, must not stop a start with a wrong type inside. Each function raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from trapd.errors import Fault
from trapd.records import Note
from trapd.remote.ledger import Attempt, By, Ledger, Overlay, Trial
from trapd.settings.overlay import depth_within

DEEPEST = 20
"""So many objects and lists may lie within each other in a document."""

_LATER = frozenset({"by", "notes", "retiring", "keys"})
"""Fields that the first trapd did not write: a file without them is as good as ever."""

T = TypeVar("T")


def overlay(found: object) -> Overlay:
    """What lies over the local file."""
    fields = _fields(found, {"version", "doc", "hash"})
    doc: dict[str, Any] = _a(dict, fields["doc"])
    if not depth_within(doc, DEEPEST):
        raise ValueError("it is too deep")
    return Overlay(_count(fields["version"]), doc, _a(str, fields["hash"]))


def trial(found: object) -> Trial:
    """What is on trial."""
    fields = _fields(found, set(Trial.__dataclass_fields__) - _LATER, also=_LATER)
    return Trial(
        overlay=overlay(fields["overlay"]),
        before=overlay(fields["before"]),
        txn=_a(str, fields["txn"]),
        deadline_s=_seconds(fields["deadline_s"]),
        needs=tuple(_a(str, need) for need in _a(list, fields["needs"])),
        confirm=_a(bool, fields["confirm"]),
        confirmed=_a(bool, fields["confirmed"]),
        starts=_count(fields["starts"]),
        ran_s=_seconds(fields["ran_s"]),
        returns_to=_a(str, fields["returns_to"]),
        by=_by(fields["by"]) if "by" in fields else By(),
        retiring=_a(str, fields.get("retiring", "")),
    )


def ledger(found: object) -> Ledger:
    """What was attempted."""
    fields = _fields(found, {"stored_version", "last", "quarantined", "known"}, also=_LATER)
    return Ledger(
        _count(fields["stored_version"]),
        None if fields["last"] is None else _attempt(fields["last"]),
        tuple(_count(version) for version in _a(list, fields["quarantined"])),
        tuple(_a(str, hash_) for hash_ in _a(list, fields["known"])),
        tuple(map(_note, _a(list, fields.get("notes", [])))),
        _a(str, fields.get("retiring", "")),
        tuple(_a(str, line) for line in _a(list, fields.get("keys", []))),
    )


def _attempt(found: object) -> Attempt:
    fields = _fields(found, set(Attempt.__dataclass_fields__))
    return Attempt(
        version=_a(int, fields["version"]),
        txn=_a(str, fields["txn"]),
        code=_count(fields["code"]),
        phase=_a(str, fields["phase"]),
        hash=_a(str, fields["hash"]),
        errors=tuple(map(_fault, _a(list, fields["errors"]))),
    )


def _by(found: object) -> By:
    fields = _fields(found, {"leaf", "kid"})
    return By(_a(str, fields["leaf"]), _text_or_none(fields["kid"]))


def _note(found: object) -> Note:
    fields = _fields(found, set(Note.__dataclass_fields__))
    return Note(
        number=_count(fields["number"]),
        leaf=_a(str, fields["leaf"]),
        code=_count(fields["code"]),
        version=_a(int, fields["version"]),
        txn=_a(str, fields["txn"]),
        kid=_text_or_none(fields["kid"]),
        message=_a(str, fields["message"]),
    )


def _text_or_none(value: object) -> str | None:
    return None if value is None else _a(str, value)


def _fault(found: object) -> Fault:
    fields = _fields(found, {"path", "message", "hint"})
    return Fault(_a(str, fields["path"]), _a(str, fields["message"]), _a(str, fields["hint"]))


def _fields(found: object, names: set[str], *, also: Collection[str] = ()) -> Mapping[str, Any]:
    """`also`: fields that it may have beside them."""
    fields: Mapping[str, Any] = _a(dict, found)
    if not names <= set(fields) <= names.union(also):
        raise ValueError("its fields are others")
    return fields


def _a(kind: type[T], value: object) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError("a value is of another kind")
    return value


def _count(value: object) -> int:
    number = _a(int, value)
    if number < 0:
        raise ValueError("a number is below 0")
    return number


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a time is no number")  # noqa: TRY004 - damage, whatever it is
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError("a time is too long") from None
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("a time is none")
    return seconds
