"""A payload that is not the JSON that is taken: what of it can be read, and everything that is wrong with it.

For records and reports only; nothing that comes from here is ever obeyed. Pure; any thread.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trapd.errors import BadDocument, Fault
from trapd.frozen import Frozen

LARGEST = 2**53
"""Beyond it, JSON numbers differ between programs."""

_NAMED = ("version", "txn")
_MOST_FAULTS = 50
_DEEPEST = 32
_MOST_VALUES = 12_000
_SPACE = " \t\n\r"
_PLAIN_KEY = r"[A-Za-z0-9_.-]{1,60}"
_HALF = r"[\ud800-\udfff]"
_SHOWN = 60
_BEYOND = "an integer is beyond 2^53"
_HALVED = "holds half a character"
_OVERLAY = "doc."  # what lies in it is named as in the configuration file


class Unreadable(BadDocument):
    """`members`: those at the top that could be read, whole where the text is JSON at all; `faults`: all."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        members: Mapping[str, Any] | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(message, hint)
        self.members = members or {}
        self.faults = faults or (Fault("", message, hint),)


class _Wrong(Frozen):
    """In place of a value that is not taken."""

    message: str


class _Twice(dict[str, Any]):
    """An object with keys that stand twice; of each the first counts, but for the top: there none does."""

    twice: frozenset[str] = frozenset()


def look(payload: bytes, message: str) -> Unreadable:
    """What can be said of a payload that is refused with `message`."""
    try:
        text = payload.decode("utf-8")
        found = _read(text)
    except (ValueError, RecursionError):
        return Unreadable(message, members=begun(payload.decode("utf-8", "replace")))
    if not isinstance(found, dict):
        return Unreadable(message)
    faults = tuple(_faults(found))
    if not faults:
        return Unreadable(message, members=begun(text))
    return Unreadable(message, members=_sound(found), faults=faults)


def _read(text: str) -> Any:
    """JSON, with what is not taken in it. Raises ValueError, RecursionError."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)


def texts_and_numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is too much, that which a record names."""
    return {key: found[key] for key in _NAMED if isinstance(found.get(key), str | int)}


def begun(text: str) -> dict[str, Any]:
    """The texts and numbers at the top of an object, up to the place where it is broken."""
    decoder = json.JSONDecoder()
    found: dict[str, Any] = {}
    twice: set[str] = set()
    at = _skip(text, 0)
    try:
        if text[at] != "{":
            return {}
        while text[at] != "}":
            key, at = decoder.raw_decode(text, _skip(text, at + 1))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at] != ":":
                break
            value, at = decoder.raw_decode(text, _skip(text, at + 1))
            at = _skip(text, at)
            # Where it breaks off behind a number, that may be half of one.
            if isinstance(value, str) or text[at : at + 1] in (",", "}"):
                twice |= {key} & found.keys()
                found[key] = value
            if text[at] not in ",}":
                break
    except (ValueError, IndexError, RecursionError):
        pass  # here it is broken: what stood before it counts
    return texts_and_numbers({key: value for key, value in found.items() if key not in twice})


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = _Twice(reversed(pairs))  # the first of each counts
    marked.twice = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return marked


def _constant(name: str) -> _Wrong:
    return _Wrong(f"{name} is no JSON")


def _integer(text: str) -> int | _Wrong:
    return int(text) if len(text) <= len(str(-LARGEST)) else _Wrong(_BEYOND)


def _faults(found: dict[str, Any]) -> Iterator[Fault]:
    """Level by level, without recursion; `_MOST_FAULTS` of them, in `_MOST_VALUES` values or so."""
    level: list[tuple[str, Any]] = [("", found)]
    left, count = _MOST_FAULTS, 0
    for _ in range(_DEEPEST + 1):
        below: list[tuple[str, Any]] = []
        for path, value in level:
            here: list[Fault] = []
            if isinstance(value, _Twice):
                here += (Fault(_joined(path, key), "stands twice", "keep one") for key in sorted(value.twice))
            if isinstance(value, dict):
                here += (Fault(_joined(path, key), _HALVED) for key in value if _is_half(key))
            elif (wrong := _wrong(value)) is not None:
                here.append(Fault(path, wrong))
            yield from here[:left]
            left -= len(here)
            if left <= 0:
                return
            if isinstance(value, dict | list):
                count += len(value)
                if count > _MOST_VALUES:
                    return
                below += _parts(path, value)
        if not below:
            return
        level = below


def _parts(path: str, value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        return ((_joined(path, key), each) for key, each in value.items())
    return ((f"{path}[{number}]", each) for number, each in enumerate(value))


def _sound(found: dict[str, Any]) -> dict[str, Any]:
    """Without what is wrong in it: a name that stands twice at the top says nothing, below it the first.

    Of what holds too much, only what a record names.
    """
    at_the_top = found.twice if isinstance(found, _Twice) else frozenset()
    members = {key: value for key, value in found.items() if key not in at_the_top}
    if _holds_too_much(found):
        return texts_and_numbers({key: value for key, value in members.items() if _wrong(value) is None})
    sound: dict[str, Any] = _without(members, _DEEPEST)
    return sound


def _holds_too_much(found: dict[str, Any]) -> bool:
    count = 0
    waiting: list[Any] = [found]
    while waiting and count <= _MOST_VALUES:
        item = waiting.pop()
        if isinstance(item, dict | list):
            count += len(item)
            if count <= _MOST_VALUES:
                waiting += item.values() if isinstance(item, dict) else item
    return count > _MOST_VALUES


def _without(value: Any, deepest: int) -> Any:
    if deepest == 0:
        return None
    if isinstance(value, dict):
        return {
            key: _without(each, deepest - 1)
            for key, each in value.items()
            if _wrong(each) is None and not _is_half(key)
        }
    if isinstance(value, list):
        return [_without(each, deepest - 1) for each in value if _wrong(each) is None]
    return value


def _wrong(value: object) -> str | None:
    """What is wrong with a value by itself."""
    if isinstance(value, str):
        return _HALVED if _is_half(value) else None
    if isinstance(value, int):
        return _BEYOND if abs(value) > LARGEST else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number is too large"
    return value.message if isinstance(value, _Wrong) else None


def _joined(path: str, key: str) -> str:
    shown = key if re.fullmatch(_PLAIN_KEY, key) else json.dumps(key[:_SHOWN])
    return (f"{path}.{shown}" if path else shown).removeprefix(_OVERLAY)


def _is_half(text: str) -> bool:
    return re.search(_HALF, text) is not None
