"""From a typed dictionary to its JSON Schema (draft 2020-12). Pure; for documents and tests alone.

The shapes are TypedDicts: the type checker holds the code that makes a payload to them, and what is written
here makes the schema of the same. A field is narrowed down by `Only`, and described by a text beside it:
`Annotated[int, Only(minimum=0), "How many."]`.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from trapd.frozen import Frozen

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Only(Frozen):
    """What a value is limited to; fields as in JSON Schema. `items` of a list: least and most."""

    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    minLength: int | None = None  # noqa: N815 - the schema's own word
    maxLength: int | None = None  # noqa: N815 - the schema's own word
    minItems: int | None = None  # noqa: N815 - the schema's own word
    maxItems: int | None = None  # noqa: N815 - the schema's own word
    enum: tuple[str | int, ...] | None = None

    def keywords(self) -> dict[str, Any]:
        """Those that are set."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return said | ({"enum": list(self.enum)} if self.enum is not None else {})


def schema_of(shape: Any, others: Mapping[Any, Any] | None = None) -> dict[str, Any]:
    """The schema of a type. `others`: of which type the fields are that a TypedDict has beside its own."""
    others = others or {}
    if is_typeddict(shape):
        return _object(shape, others)
    if shape is Any:
        return {}
    if get_origin(shape) is None:
        return {"type": _PLAIN[shape]}
    return _composed(get_origin(shape), get_args(shape), others)


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, taking no field that it does not name."""
    return {
        **{key: _closed_below(value) for key, value in schema.items()},
        **({"additionalProperties": False} if _is_open_object(schema) else {}),
    }


def _is_open_object(schema: Mapping[str, Any]) -> bool:
    return isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema


def _closed_below(value: Any) -> Any:
    if isinstance(value, dict):
        return closed(value)
    return [_closed_below(each) for each in value] if isinstance(value, list) else value


def _composed(origin: Any, arguments: tuple[Any, ...], others: Mapping[Any, Any]) -> dict[str, Any]:
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _any_of(schema_of(each, others) for each in arguments)
    if origin is dict:
        below = {} if arguments[1] is Any else {"additionalProperties": schema_of(arguments[1], others)}
        return {"type": "object"} | below
    inner = schema_of(arguments[0], others)
    if origin is Annotated:
        return _annotated(inner, arguments[1:])
    return {"type": "array", "items": inner} if origin is list else inner  # NotRequired


def _object(shape: Any, others: Mapping[Any, Any]) -> dict[str, Any]:
    fields = get_type_hints(shape, include_extras=True)
    found: dict[str, Any] = {"type": "object"}
    if shape.__doc__:
        found["description"] = " ".join(shape.__doc__.split())
    found["properties"] = {name: schema_of(field, others) for name, field in fields.items()}
    # Where annotations are texts, the class itself does not know which of its fields are optional.
    wanted = [
        name
        for name, field in fields.items()
        if name in shape.__required_keys__ and get_origin(field) is not NotRequired
    ]
    if wanted:
        found["required"] = wanted
    if shape in others:
        found["additionalProperties"] = schema_of(others[shape], others)
    return found


def _annotated(schema: dict[str, Any], said: Iterable[object]) -> dict[str, Any]:
    for each in said:
        if isinstance(each, Only):
            schema = schema | each.keywords()
        elif isinstance(each, str):
            schema = schema | {"description": each}
    return schema


def _any_of(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Plain types side by side make one list of types; all else is a choice."""
    each = list(schemas)
    if all(set(schema) == {"type"} for schema in each):
        return {"type": [schema["type"] for schema in each]}
    return {"anyOf": each}
