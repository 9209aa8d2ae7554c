"""`@frozen` and `@slotted`: dataclasses with slots, made in a twentieth of the time.

`@dataclass(frozen=True, slots=True)` writes six functions as text and compiles them, for each class and at
each start: of importing the daemon that was a quarter. Here one set of functions serves every class; what
makes a value is compiled with the first value, for there speed counts. `replace`, `asdict` and `fields` of
dataclasses work. There is no inheritance, and of `field` nothing but the defaults and `compare`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

# Not public. A test holds them to what every Python makes of a dataclass.
_FIELD: Final[Any] = dataclasses._FIELD  # type: ignore[attr-defined]  # see above
_PARAMS: Final = dataclasses.dataclass(frozen=True)(type("_", (), {})).__dataclass_params__  # type: ignore[attr-defined]  # see above


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: type[T]) -> type[T]:
    """The class with slots for its annotated names; its values never change."""
    return _made(cls, _FROZEN)


@dataclass_transform(field_specifiers=(dataclasses.field,))
def slotted(cls: type[T]) -> type[T]:
    """The class with slots for its annotated names; its values may change, and are no keys."""
    return _made(cls, _SHARED)


def _made(cls: type[T], shared: Mapping[str, Any]) -> type[T]:
    fields: dict[str, Any] = {}
    by_name = False
    for name, kind in cls.__annotations__.items():
        if kind == "KW_ONLY":
            by_name = True
        else:
            fields[name] = _field(cls, name, kind, by_name=by_name)
    left_out = {*fields, "__dict__", "__weakref__"}
    body = {
        **shared,
        **{name: value for name, value in cls.__dict__.items() if name not in left_out},
        "__slots__": tuple(fields),
        "__compared__": tuple(name for name, one in fields.items() if one.compare),
        "__match_args__": tuple(name for name, one in fields.items() if not one.kw_only),
        "__qualname__": cls.__qualname__,
        "__dataclass_fields__": fields,
        "__dataclass_params__": _PARAMS,
    }
    made: Any = type(cls.__name__, cls.__bases__, body)
    return made  # type: ignore[no-any-return]  # it is what `cls` was


def _field(cls: type, name: str, kind: Any, *, by_name: bool) -> Any:
    default = cls.__dict__.get(name, dataclasses.MISSING)
    made: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
    made.name, made.type, made.kw_only, made._field_type = name, kind, by_name, _FIELD
    return made


def _init(self: Any, *values: Any, **named: Any) -> None:
    """The first value: compile what makes the others, and leave it to that."""
    cls = type(self)
    parameters, lines, known = ["self"], [], {"_factory": _FACTORY}
    for place, (name, one) in enumerate(cls.__dataclass_fields__.items()):
        if one.kw_only and "*" not in parameters:
            parameters.append("*")
        known[f"_set{place}"] = cls.__dict__[name].__set__
        given = name
        if one.default_factory is not dataclasses.MISSING:
            known[f"_make{place}"] = one.default_factory
            parameters.append(f"{name}=_factory")
            given = f"_make{place}() if {name} is _factory else {name}"
        elif one.default is not dataclasses.MISSING:
            known[f"_default{place}"] = one.default
            parameters.append(f"{name}=_default{place}")
        else:
            parameters.append(name)
        lines.append(f" _set{place}(self, {given})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    made: dict[str, Any] = {}
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), known, made)  # noqa: S102 - text of ours
    made["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = made["__init__"]
    cls.__init__(self, *values, **named)


_FACTORY: Final = object()


def _values(self: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    return attrgetter(*names)(self) if len(names) > 1 else tuple(getattr(self, name) for name in names)


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    names = self.__compared__
    return _values(self, names) == _values(other, names)


def _hash(self: Any) -> int:
    return hash(_values(self, self.__compared__))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({shown})"


def _refuse(self: Any, name: str, value: Any = None) -> NoReturn:  # noqa: ARG001 - Python's signature
    raise dataclasses.FrozenInstanceError(f"cannot change {name!r}: it is frozen")


def _reduce(self: Any) -> Any:
    return _again, (type(self), dict(zip(self.__slots__, _values(self, self.__slots__), strict=True)))


def _again(cls: Any, values: Mapping[str, Any]) -> Any:
    return cls(**values)


_SHARED: Final = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": None,
    "__repr__": _repr,
    "__reduce__": _reduce,
}
_FROZEN: Final = {**_SHARED, "__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse}
