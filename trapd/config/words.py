"""Plain words for faults: what a key accepts. What stands there instead: `trapd.settings.text`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from trapd.frozen import Frozen


class Says(Frozen):
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
