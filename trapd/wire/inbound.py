"""What arrives from outside: receipts and commands, taken apart. Pure; any thread.

All of it may be hostile or damaged. What is not exactly what its topic promises raises BadDocument with a
sentence for the log: one message is passed over, nothing else changes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from trapd.errors import BadDocument
from trapd.frozen import Frozen, field
from trapd.wire import unreadable
from trapd.wire.authority import Period, period_of
from trapd.wire.nearest import nearest
from trapd.wire.unreadable import Unreadable

MOST_BYTES = 262_144
"""Larger payloads are not looked into: 5,000 ids, or a complete configuration, have room in it."""

MOST_CONFIGURED = 1000
"""Values in a configuration from afar at most: with every key and the longest lists there are some 300."""

_DEEPEST = 32
_MOST_VALUES = 12_000  # 5,000 ids have room; to look for a signature in more takes a small machine too long
_LARGEST = unreadable.LARGEST
_LOOKED_INTO = 65_536  # bytes of what is too large, for the name that it was given
_REQUEST = frozenset({"txn", "args", "issued_at", "expires_at", "sig"})
_UNKNOWN_SHOWN = 3
_LONGEST_ID = 128
_LONGEST_TXN = 128
_MOST_RANGES = 1000
_SHOWN = 80
_NOT_TAKEN = "this is no JSON that is taken"
_BEYOND = "an integer is beyond 2^53"


class Receipt(Frozen):
    """What the receiver has: events by id, or every event of `epoch` up to number `upto`."""

    ids: tuple[str, ...] = ()
    epoch: str | None = None
    upto: int | None = None


class Request(Frozen):
    """A command: `txn` is the operator's name for it, `args` what it asks for, `period` when it is meant."""

    txn: str
    args: Mapping[str, Any]
    period: Period = field(default_factory=Period)


class MediaRequest(Frozen):
    """Photographs by id, each with None for all of it or with the chunks wanted (first, last)."""

    wanted: Mapping[str, tuple[tuple[int, int], ...] | None]


class TooLarge(Unreadable):
    """More than anybody sends in good faith."""


class _Wrong(ValueError):
    """JSON, and yet not what is taken."""


def document(payload: bytes) -> dict[str, Any]:
    """A JSON object. Refuses duplicate keys, NaN, integers beyond 2^53, half characters, and too much.

    Raises Unreadable, with what can be said of it all the same.
    """
    if len(payload) > MOST_BYTES:
        members = unreadable.begun(payload[:_LOOKED_INTO].decode("utf-8", "replace"))
        raise TooLarge(f"{len(payload)} bytes", f"at most {MOST_BYTES} are taken", members=members)
    try:
        # Numbers are read as they stand, and looked at afterwards where they are few enough: asked of each
        # one while it is read, a payload full of them takes a small machine too long.
        found = json.loads(payload.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise unreadable.look(payload, f"{_NOT_TAKEN}: {_reason(error)}") from error
    if not isinstance(found, dict):
        raise Unreadable("this is JSON, and no object")
    try:
        _refuse_too_much(found)
        if rb"\u" in payload:
            _refuse_half_characters(found)
    except _Wrong as error:
        raise unreadable.look(payload, str(error)) from None
    return found


def configuration(value: Mapping[str, Any]) -> None:
    """Raises TooLarge for more than anybody configures: to find every fault of it would take too long."""
    count = 0
    waiting: list[object] = [value]
    while waiting and count <= MOST_CONFIGURED:
        item = waiting.pop()
        below = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        waiting += below
        count += len(below)
    if count > MOST_CONFIGURED:
        message = f"this has more than {MOST_CONFIGURED} values"
        raise TooLarge(message, "a configuration has fewer", members=unreadable.texts_and_numbers(value))


def receipt(payload: bytes) -> Receipt:
    """`{"ids":[...]}` or `{"epoch":"3f9a","upto":4812}`. Raises BadDocument."""
    found = document(payload)
    if set(found) == {"ids"}:
        return Receipt(ids=_ids(found["ids"]))
    if set(found) == {"epoch", "upto"}:
        epoch, upto = found["epoch"], found["upto"]
        if not isinstance(epoch, str) or not 0 < len(epoch) <= _LONGEST_ID:
            raise BadDocument("epoch is no text of an epoch")
        if not _is_count(upto):
            raise BadDocument("upto is no whole number from 0")
        return Receipt(epoch=epoch, upto=upto)
    raise BadDocument('a receipt has "ids", or "epoch" and "upto", and nothing else')


def txn_of(found: Mapping[str, Any]) -> str | None:
    """The name that the operator gave a command; None where it has none that can be used."""
    txn = found.get("txn")
    if not isinstance(txn, str) or not 0 < len(txn) <= _LONGEST_TXN or not txn.isprintable():
        return None
    return txn


def version_of(found: Mapping[str, Any]) -> int | None:
    """The version that a document names; None where it is none."""
    version = found.get("version")
    return version if type(version) is int and abs(version) <= _LARGEST else None


def request(found: Mapping[str, Any], *, signed: bool) -> Request:
    """`{"txn","args","issued_at","expires_at"}`; what is signed has to say both times. Raises BadDocument."""
    if unknown := sorted(set(found) - _REQUEST):
        raise BadDocument("; ".join(_unknown(name) for name in unknown[:_UNKNOWN_SHOWN]))
    txn, args = txn_of(found), found.get("args", {})
    if txn is None:
        raise BadDocument(f"txn is no printable text of 1 to {_LONGEST_TXN} characters")
    if not isinstance(args, dict):
        raise BadDocument("args is no object")
    period = period_of(found)
    if signed and (period.issued_ms is None or period.expires_ms is None):
        raise BadDocument("what is signed says issued_at and expires_at")
    return Request(txn, args, period)


def _unknown(name: str) -> str:
    shown = name if name.isidentifier() and name.isascii() else json.dumps(name)
    return f"{shown[:_SHOWN]} is not known here: {nearest(name, _REQUEST)}"


def media_request(args: Mapping[str, Any]) -> MediaRequest:
    """`{"ids":[...],"chunks"?:{id:[[first,last]]}}`. An id named twice counts once. Raises BadDocument."""
    if not set(args) <= {"ids", "chunks"}:
        raise BadDocument('media_get takes "ids" and "chunks", and nothing else')
    ids = _ids(args.get("ids"))
    if not ids:
        raise BadDocument("ids is empty")
    chunks = args.get("chunks", {})
    if not isinstance(chunks, dict) or not set(chunks) <= set(ids):
        raise BadDocument("chunks is no object by the ids asked for")
    return MediaRequest({name: _ranges(chunks[name]) if name in chunks else None for name in ids})


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(name, str) and 0 < len(name) <= _LONGEST_ID for name in value
    ):
        raise BadDocument("ids is no list of ids")
    return tuple(dict.fromkeys(value))


def _ranges(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_RANGES:
        raise BadDocument(f"chunks are no list of 1 to {_MOST_RANGES} ranges")
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_count, pair)) or pair[0] > pair[1]:
            raise BadDocument("a range of chunks is not [first, last]")
    return tuple((first, last) for first, last in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refuse_too_much(found: dict[str, Any]) -> None:
    """Raises BadDocument for too many values, and for more levels than anybody needs; counts no further.

    Raises _Wrong for a number that other programs may read otherwise.
    """
    level: list[object] = [found]
    count = 0
    for _ in range(_DEEPEST + 1):
        below: list[object] = []
        nested = False
        for item in level:
            if isinstance(item, dict | list):
                nested = True
                below += item.values() if isinstance(item, dict) else item
            elif isinstance(item, int | float):
                _refuse_number(item)
        if not nested:
            return
        count += len(below)
        if count > _MOST_VALUES:
            members = unreadable.texts_and_numbers(found)
            hint = f"at most {_MOST_VALUES} are taken"
            raise TooLarge(f"this has {count} values or more", hint, members=members)
        level = below
    message = f"there are more than {_DEEPEST} objects or lists within each other"
    raise Unreadable(message, members=unreadable.texts_and_numbers(found))


def _refuse_half_characters(found: object) -> None:
    """JSON can name half of a pair (`\\ud800`): no database takes it, and nothing can be signed with it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Wrong("a text holds half a character") from None


def _refuse_number(value: float) -> None:
    """Integers beyond 2^53 differ between programs, and infinity is what JSON has no word for."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise _Wrong(f"{_NOT_TAKEN}: {_BEYOND}")
    if not math.isfinite(value):
        raise _Wrong(f"{_NOT_TAKEN}: a number is too large")


def _reason(error: Exception) -> str:
    """Python reads no integer of thousands of digits, and says so at length."""
    known = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError | _Wrong)
    return str(error)[:_SHOWN] if known else _BEYOND


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _Wrong(f"the key {twice[:_SHOWN]!r} stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Wrong(f"{name} is no JSON")
