"""The outbox against its floor, an append and fdatasync, and against itself with a long queue.

`python -m bench.store [--short]`. Everything that is compared is measured in turns in one run, for disks are
noisy: a put into an empty outbox, one into a full outbox, and the bare append, one after the other. SQLite's
log grows at first and is then written over again and again, which costs less: `put_growing_ms` is the former,
seen for the first megabyte after a start; all ratios are of the latter, which is every day's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from trapd.host.clock import SystemClock
from trapd.records import Kind
from trapd.rules import PRIORITY
from trapd.store import Session, Store
from trapd.store.sqlite.database import FILE
from trapd.store.sqlite.rows import queue_row

_PAYLOAD = os.urandom(500)
_KINDS = (Kind.TRAIL, *(Kind.EVENT,) * 6, *(Kind.THUMB,) * 3)
_SOME_ROWS = 10_000
_TRANSACTION_ROWS = 20_000


def run(short: bool) -> dict[str, Any]:
    """Medians in ms, and ratios."""
    rows = 50_000 if short else 1_000_000
    rounds = 200 if short else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stores = {label: _store(folder / label) for label in ("fresh", "empty", "some", "many")}
        try:
            with (
                stores["fresh"].session() as fresh,
                stores["empty"].session() as empty,
                stores["some"].session() as some,
                stores["many"].session() as many,
            ):
                _fill(empty, _SOME_ROWS)
                _drain(empty)
                _fill(some, _SOME_ROWS)
                _fill(many, rows)
                size = (folder / "many" / FILE).stat().st_size / (rows * len(_PAYLOAD))
                deeds = {"append": _append(folder), "fresh": _put(fresh)}
                puts = _in_turns(rounds, deeds | {"empty": _put(empty), "many": _put(many)})
                nexts = _in_turns(rounds, {"some": _next(some), "many": _next(many)})
        finally:
            for store in stores.values():
                store.close(clean=True)
    return {
        "rows": rows,
        "append_ms": puts["append"],
        "put_growing_ms": puts["fresh"],
        "put_ms": puts["empty"],
        "put_many_ms": puts["many"],
        "put_to_append": puts["empty"] / puts["append"],
        "put_many_to_empty": puts["many"] / puts["empty"],
        "next_20_ms": nexts["some"],
        "next_20_many_ms": nexts["many"],
        "next_many_to_some": nexts["many"] / nexts["some"],
        "size_to_payload": size,
    }


def _store(root: Path) -> Store:
    return Store.open(root, "bench-1", clock=SystemClock(), max_bytes=10**11, min_free_bytes=0)


def _fill(session: Session, rows: int) -> None:
    now = SystemClock().now()
    for begin in range(0, rows, _TRANSACTION_ROWS):
        with session.database.write() as connection:
            for number in range(begin, min(rows, begin + _TRANSACTION_ROWS)):
                kind = _KINDS[number % len(_KINDS)]
                queue_row(
                    connection,
                    now,
                    kind=kind,
                    priority=PRIORITY[kind],
                    leaf=kind.value,
                    size_bytes=len(_PAYLOAD),
                    payload=_PAYLOAD,
                )
        session.database.checkpoint()


def _drain(session: Session) -> None:
    while rows := [message.row for message in session.outbox.next(1000, max_bytes=10**9)]:
        session.outbox.acknowledge(rows)
    session.database.checkpoint()


def _append(folder: Path) -> Callable[[], None]:
    fd = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append() -> None:
        os.write(fd, _PAYLOAD)
        os.fdatasync(fd)

    return append


def _put(session: Session) -> Callable[[], None]:
    return lambda: _void(session.outbox.put(Kind.EVENT, "event", _PAYLOAD, retain=False))


def _next(session: Session) -> Callable[[], None]:
    return lambda: _void(session.outbox.next(20, max_bytes=10**9))


def _void(_: object) -> None:
    """What came back is of no interest."""


def _in_turns(rounds: int, deeds: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The median of each in ms. Each goes first equally often: what one leaves to the disk, the next pays."""
    taken: dict[str, list[float]] = {name: [] for name in deeds}
    order = deque(deeds.items())
    for _ in range(rounds):
        for name, deed in order:
            began_s = time.perf_counter()
            deed()
            taken[name].append(time.perf_counter() - began_s)
        order.rotate(1)
    return {name: round(median(times) * 1000, 4) for name, times in taken.items()}


if __name__ == "__main__":
    print(json.dumps(run("--short" in sys.argv[1:]), indent=1))
