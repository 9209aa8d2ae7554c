"""Values by `@frozen` and `@slotted` are what dataclasses would be, whatever Python makes of those."""

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
from typing import Any

import pytest

from trapd.frozen import frozen, slotted


@frozen
class Ours:
    """As it is."""

    place: int
    name: str = "ridge"
    seen: list[int] = field(default_factory=list)
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


@slotted
class Changing:
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


@frozen
class Marked:
    """With a field that tells nothing of what it is."""

    name: str
    number: int = field(default=0, compare=False)


def test_a_field_that_is_not_compared_makes_no_difference() -> None:
    assert Marked("a", 1) == Marked("a", 2)
    assert hash(Marked("a", 1)) == hash(Marked("a", 2))
    assert Marked("a", 1) != Marked("b", 1)
    again = pickle.loads(pickle.dumps(Marked("a", 1)))
    assert (again.name, again.number) == ("a", 1)
    assert replace(Marked("a", 1), name="b").number == 1
