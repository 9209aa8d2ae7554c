"""Values of `Frozen` and `Slotted` classes are what dataclasses would be, whatever Python makes of those."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import (
    KW_ONLY,
    FrozenInstanceError,
    asdict,
    astuple,
    dataclass,
    field,
    fields,
    is_dataclass,
    replace,
)
from types import new_class
from typing import Any

import pytest

from trapd import frozen
from trapd.frozen import Frozen, Slotted


class Ours(Frozen):
    """As it is."""

    place: int
    name: str = "ridge"
    seen: list[int] = frozen.field(default_factory=list)
    _: KW_ONLY
    kind: str
    near: bool = False

    @property
    def whole(self) -> str:
        """A property and a method go over."""
        return f"{self.name}-{self.place}"


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same by the library."""

    place: int
    name: str = "ridge"
    seen: list[int] = field(default_factory=list)
    _: KW_ONLY
    kind: str
    near: bool = False


class Changing(Slotted):
    """What may change."""

    count: int = 0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("below 0")


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {"kind": "a"}),
    ((1, "b", [3]), {"kind": "a", "near": True}),
    ((), {"place": 4, "kind": "a"}),
    ((1,), {}),
    ((), {"kind": "a"}),
    ((1, "b", [], "kind"), {}),
    ((1,), {"kind": "a", "other": 1}),
    ((1,), {"kind": "a", "place": 2}),
]


def outcome(made: Callable[..., Any], *values: Any, **named: Any) -> Any:
    try:
        value = made(*values, **named)
    except TypeError:
        return TypeError
    return repr(value).partition("(")[2], asdict(value), astuple(value)


@pytest.mark.parametrize(("values", "named"), CALLS)
def test_a_value_is_made_shown_and_refused_as_a_dataclass_is(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    assert outcome(Ours, *values, **named) == outcome(Theirs, *values, **named)


def test_it_is_a_dataclass_to_who_asks() -> None:
    assert is_dataclass(Ours)
    shown = [(one.name, one.type, one.kw_only) for one in fields(Ours)]
    assert shown == [(one.name, one.type, one.kw_only) for one in fields(Theirs)]
    assert Ours.__match_args__ == Theirs.__match_args__  # type: ignore[attr-defined]  # a dataclass has them
    assert Ours.__doc__ == "As it is."


def test_it_never_changes_and_takes_nothing_more() -> None:
    value: Any = Ours(1, kind="a")
    for name in ("place", "other"):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 2)
    with pytest.raises(FrozenInstanceError):
        del value.place
    assert not hasattr(value, "__dict__")


def test_each_value_has_a_list_of_its_own() -> None:
    one, other = Ours(1, kind="a"), Ours(1, kind="a")
    one.seen.append(3)
    assert other.seen == []


def test_a_changed_copy_leaves_the_first() -> None:
    value = Ours(1, kind="a")
    assert replace(value, name="hut").whole == "hut-1"
    assert value.whole == "ridge-1"


@pytest.mark.parametrize("again", [replace, frozen.replace])
def test_a_copy_is_refused_what_it_does_not_know(again: Callable[..., Any]) -> None:
    assert again(Ours(1, kind="a"), kind="b", place=2) == Ours(2, kind="b")
    with pytest.raises(TypeError):
        again(Ours(1, kind="a"), other=1)


class Around(Frozen):
    """Values in values."""

    one: Ours
    more: tuple[Ours, ...]
    named: dict[str, list[Ours | Changing]]


def test_values_in_values_are_taken_apart_as_those_of_a_dataclass() -> None:
    ours = Ours(1, kind="a", seen=[1, 2])
    around = Around(ours, (ours, ours), {"x": [ours, Changing(3)]})
    assert frozen.asdict(around) == asdict(around)
    assert frozen.asdict(around)["named"]["x"][1] == {"count": 3}


def test_only_the_two_bases_are_bases() -> None:
    with pytest.raises(TypeError, match="no base but"):
        new_class("Sub", (Ours,))
    for base in (Frozen, Slotted):
        assert not is_dataclass(base)


class Beside(Frozen):
    """With something that makes no difference."""

    name: str
    number: int = frozen.field(default=0, compare=False)
    seen: list[int] = frozen.field(default_factory=list, compare=False)


def test_what_is_not_compared_makes_no_two_values_differ() -> None:
    one, other = Beside("a", 1, [1]), Beside("a", 2)
    assert one == other
    assert {one: 1}[other] == 1
    assert one != Beside("b", 1)
    assert (other.number, other.seen, frozen.replace(one, name="b").number) == (2, [], 1)
    assert [each.compare for each in fields(Beside)] == [True, False, False]


def test_equal_values_are_one_key_and_another_class_is_never_equal() -> None:
    key = replace(Ours(1, kind="a"), seen=())  # type: ignore[arg-type]  # a list is no key
    assert {key: 1}[replace(key)] == 1
    assert key != replace(key, place=2)
    assert Ours(1, kind="a") != Theirs(1, kind="a")
    with pytest.raises(TypeError):
        hash(Ours(1, kind="a"))


def test_it_goes_through_pickle_and_copy() -> None:
    value = Ours(1, kind="a", seen=[2])
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value


def test_it_can_be_taken_apart_by_match() -> None:
    match Ours(1, "hut", kind="a"):
        case Ours(place, name):
            assert (place, name) == (1, "hut")


def test_what_is_only_slotted_changes_is_no_key_and_is_checked_when_it_is_made() -> None:
    value = Changing()
    value.count += 1
    assert value == Changing(1)
    with pytest.raises(TypeError):
        hash(value)
    with pytest.raises(ValueError, match="below"):
        Changing(-1)
