"""The whole daemon with a damaged database: it comes back by itself, and says what did not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.daemon import WITHIN_S, Daemon, Heard, until
from trapd.records import State
from trapd.store import Store

pytestmark = pytest.mark.slow


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 + 3] ^= 0x40
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize("damage", [zeros, cut_short, flipped, Path.unlink])
def test_a_damaged_database_is_rebuilt_and_told(
    daemon: Daemon, heard: Heard, damage: Callable[[Path], None]
) -> None:
    daemon.start()
    until(lambda: len(heard.take().events) >= 3, "events")
    daemon.kill()
    before = {event.id for event in daemon.events()}
    damage(daemon.root / "trapd.db")
    (daemon.root / "trapd.db-wal").unlink(missing_ok=True)
    daemon.start()
    until(lambda: bool(heard.take().leaves.get("alert/store")), "the alert")
    assert "made anew" in json.loads(heard.leaves["alert/store"][-1])["message"]
    until(lambda: len(daemon.events()) >= len(before) + 3, "new bursts")
    until(daemon.caught_up(), "the queue")
    assert daemon.stop() == 0
    assert before <= {event.id for event in daemon.events()}
    sent = {event.id for event in daemon.events() if event.n is not None and event.state is not State.KEPT}
    assert sent <= heard.await_all(sent).payloads.keys()
    numbers: dict[str, list[int]] = {}
    for payloads in heard.payloads.values():
        event = json.loads(payloads[-1])
        numbers.setdefault(event["epoch"], []).append(event["n"])
    with Store.peek(daemon.root) as session:
        epoch = session.epoch
    assert sorted(numbers[epoch]) == list(range(1, len(numbers[epoch]) + 1))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_a_row_that_nobody_can_read_ends_two_processes_at_most(daemon: Daemon, heard: Heard) -> None:
    """SQLite finds nothing amiss with it: only who reads the row does."""
    daemon.start()
    until(lambda: len(heard.take().events) >= 3, "events")
    assert daemon.stop() == 0
    before = {event.id for event in daemon.events()}
    with contextlib.closing(sqlite3.connect(daemon.root / "trapd.db")) as connection, connection:
        connection.execute("UPDATE event SET state = 'captured', env = '{' WHERE row = 2")
    daemon.configure(sensor={"every_s": 5})
    daemon.start()
    process = daemon.process
    assert process is not None
    assert process.wait(WITHIN_S) == 1
    daemon.start()
    until(lambda: bool(heard.take().leaves.get("alert/store")), "the alert")
    until(daemon.drained, "the queue")
    assert daemon.stop() == 0
    assert before <= {event.id for event in daemon.events()}


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_damage_met_at_work_ends_the_process_and_the_next_start_rebuilds(
    daemon: Daemon, heard: Heard
) -> None:
    file = daemon.root / "trapd.db"
    daemon.start()
    until(lambda: len(heard.take().events) >= 3, "events")
    before = {event.id for event in daemon.events()}
    assert daemon.process is not None
    process = daemon.process

    def ended() -> bool:
        # What stands in the log is read from there, and brought back over the damage by and by: without that,
        # and again, for the daemon may write between the two.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        zeros(file)
        return process.poll() is not None

    until(ended, "the end of the process")
    assert process.returncode == 1
    daemon.process = None
    daemon.start()
    until(lambda: bool(heard.take().leaves.get("alert/store")), "the alert")
    until(daemon.caught_up(), "the queue")
    assert daemon.stop() == 0
    assert before <= {event.id for event in daemon.events()}
