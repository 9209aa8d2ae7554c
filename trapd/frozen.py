"""`Frozen` and `Slotted`: bases of classes of values with slots, as cheap to import as plain classes.

A dataclass writes six functions as text and compiles them, for each class and at each start. Here one set of
functions serves every class; what makes a value is compiled with the first value, for there speed counts.
`field`, `replace` and `asdict` are here too: the daemon does not import `dataclasses`. For whoever does, such
a class is one. There is no inheritance beyond the base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, dataclass_transform, overload

__all__ = ["Frozen", "Slotted", "asdict", "field", "replace"]

T = TypeVar("T")

_NONE: Final = object()
_FACTORY: Final = object()


class _Made:
    """A default that each value gets anew."""

    __slots__ = ("factory",)

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory


class _Beside:
    """A default of what is no part of what a value is."""

    __slots__ = ("default",)

    def __init__(self, default: Any) -> None:
        self.default = default


@overload
def field(*, default: T, compare: bool = ...) -> T: ...
@overload
def field(*, default_factory: Callable[[], T], compare: bool = ...) -> T: ...
def field(
    *, default: Any = _NONE, default_factory: Callable[[], Any] | None = None, compare: bool = True
) -> Any:
    """For a name whose default is made with each value, or (`compare`) that makes no two values differ."""
    given = default if default_factory is None else _Made(default_factory)
    return given if compare else _Beside(given)


class _Values(type):
    """Gives a class slots for its annotated names.

    `__given__` has their defaults, `__by_name__` those that have no place, `__compared__` those that count.
    """

    __given__: Mapping[str, Any]
    __by_name__: tuple[str, ...]
    __compared__: tuple[str, ...]

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        given: dict[str, Any] = {}
        beside: list[str] = []
        placed: tuple[str, ...] | None = None
        if bases:
            if bases not in ((Frozen,), (Slotted,)):
                raise TypeError(f"{name}: a class of values has no base but Frozen or Slotted")
            for one, kind in body.get("__annotations__", given).items():
                if kind == "KW_ONLY":
                    placed = tuple(given)
                else:
                    default = body.pop(one, _NONE)
                    if type(default) is _Beside:
                        default = default.default
                        beside.append(one)
                    given[one] = default
            names = tuple(given)
            body["__given__"] = given
            body["__match_args__"] = names if placed is None else placed
            body["__by_name__"] = () if placed is None else names[len(placed) :]
            body["__compared__"] = tuple(one for one in names if one not in beside) if beside else names
        body["__slots__"] = tuple(given)
        return type.__new__(mcs, name, bases, body)


class _AsDataclass:
    """`__dataclass_fields__`, made when somebody asks for it."""

    def __get__(self, _value: object, cls: Any) -> Any:
        import dataclasses

        fields: list[Any] = []
        for name, default in cls.__given__.items():
            said: dict[str, Any] = {
                "kw_only": name in cls.__by_name__,
                "compare": name in cls.__compared__,
            }
            if type(default) is _Made:
                said["default_factory"] = default.factory
            elif default is not _NONE:
                said["default"] = default
            fields.append((name, cls.__annotations__[name], dataclasses.field(**said)))
        like: Any = dataclasses.make_dataclass(cls.__name__, fields)
        cls.__dataclass_fields__ = like.__dataclass_fields__
        return like.__dataclass_fields__


def _init(self: Any, *values: Any, **named: Any) -> None:
    """The first value: compile what makes the others, and leave it to that."""
    cls = type(self)
    parameters, lines, known = ["self"], [], {"_factory": _FACTORY}
    for place, (name, default) in enumerate(cls.__given__.items()):
        if name in cls.__by_name__ and "*" not in parameters:
            parameters.append("*")
        known[f"_set{place}"] = cls.__dict__[name].__set__
        given = name
        if type(default) is _Made:
            known[f"_make{place}"] = default.factory
            parameters.append(f"{name}=_factory")
            given = f"_make{place}() if {name} is _factory else {name}"
        elif default is not _NONE:
            known[f"_default{place}"] = default
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


def _values(self: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    return attrgetter(*names)(self) if len(names) > 1 else tuple(getattr(self, name) for name in names)


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    names = self.__compared__
    return _values(self, names) == _values(other, names)


def _hash(self: Any) -> int:
    return hash(_values(self, self.__compared__))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({shown})"


def _refuse(self: Any, name: str, value: Any = None) -> NoReturn:  # noqa: ARG001 - Python's signature
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r}: it is frozen")


def _reduce(self: Any) -> Any:
    return _again, (type(self), {name: getattr(self, name) for name in self.__slots__})


def _again(cls: Any, values: Mapping[str, Any]) -> Any:
    return cls(**values)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen(metaclass=_Values):
    """The base of a class whose values never change."""

    if not TYPE_CHECKING:  # it knows a dataclass
        __dataclass_fields__ = _AsDataclass()
        __init__, __eq__, __hash__, __repr__, __reduce__ = _init, _eq, _hash, _repr, _reduce
        __setattr__, __delattr__ = _refuse, _refuse


@dataclass_transform(field_specifiers=(field,))
class Slotted(metaclass=_Values):
    """The base of a class whose values may change, and are no keys."""

    if not TYPE_CHECKING:  # see above
        __dataclass_fields__ = _AsDataclass()
        __init__, __eq__, __hash__, __repr__, __reduce__ = _init, _eq, None, _repr, _reduce


if TYPE_CHECKING:  # what these take is checked as dataclasses' own
    from dataclasses import asdict, replace
else:

    def replace(value: T, /, **changes: Any) -> T:
        """A copy of a value with some of it changed."""
        return type(value)(**{name: getattr(value, name) for name in value.__slots__} | changes)

    def asdict(value: Frozen | Slotted) -> dict[str, Any]:
        """Its names and values, and so on for the values in it."""
        return {name: _plain(getattr(value, name)) for name in value.__slots__}

    def _plain(value: Any) -> Any:
        if isinstance(value, Frozen | Slotted):
            return asdict(value)
        if isinstance(value, dict):
            return {key: _plain(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(_plain(one) for one in value)
        return value
