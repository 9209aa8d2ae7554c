"""Plain words for faults: what a key accepts, and what stands there instead.

Pure. Whatever the operator wrote comes out on one line, printable and short, for it may be hostile.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

LONGEST = 60  # characters of a quoted value


@dataclass(frozen=True, slots=True)
class Says:
    """Stands in an annotation: what is allowed, so that "must be {text}" is a sentence."""

    text: str


def expected(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """What a value of this annotation must be, to follow "must be"."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return expected(inner, (*_flat(more), *metadata))
    said = [item.text for item in metadata if isinstance(item, Says)]
    if said:
        return said[-1]
    if get_origin(annotation) in (Union, UnionType):
        parts = [expected(part) for part in get_args(annotation) if part is not NoneType]
        return " or ".join([*parts, "null"] if NoneType in get_args(annotation) else parts)
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[annotation]
    return " ".join(filter(None, [plain, _range(metadata)]))


def expected_at(field: FieldInfo, index: int | None = None) -> str:
    """What the key, or the item of its list at `index`, must be."""
    if index is None:
        bounds = _flat(field.metadata)
        # The bounds of `float | None` stand outside the union: they speak of the number.
        parts = [part for part in get_args(field.annotation) if part is not NoneType]
        if get_origin(field.annotation) in (Union, UnionType) and len(parts) == 1:
            return f"{expected(parts[0], bounds)}, or null"
        return expected(field.annotation, bounds)
    item, *_ = get_args(field.annotation)
    return expected(item)


def shown(value: object) -> str:  # noqa: PLR0911 - one sentence for each type
    """What stands there, to follow "is"."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{printable(value)}'"
        case dict():
            return "a group of keys"
        case list() | tuple():
            return f"a list of {len(value)}"
        case datetime.date():
            return f"the date {value.isoformat()}"
        case int() if value.bit_length() > 200:
            return "a number of more than 60 digits"
    return printable(repr(value))


def printable(text: str) -> str:
    """`text` on one line of at most 60 characters, with everything unprintable escaped."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def key_shown(key: str) -> str:
    """One key as part of a path; anything but a plain word in quotes."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else f'"{printable(key)}"'


def joined(*parts: str) -> str:
    """A dotted path of the parts that are not empty."""
    return ".".join(part for part in parts if part)


def _flat(metadata: Any) -> tuple[Any, ...]:
    def walk() -> Iterator[Any]:
        for item in metadata:
            if isinstance(item, FieldInfo):
                yield from _flat(item.metadata)
            else:
                yield item

    return tuple(walk())


def _range(metadata: tuple[Any, ...]) -> str:
    bounds = {
        name: getattr(item, name)
        for item in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f"from {bounds['ge']} to {bounds['le']}"
    if {"gt", "le"} <= bounds.keys():
        return f"above {bounds['gt']} and at most {bounds['le']}"
    return ""
