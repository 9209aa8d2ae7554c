"""A start that takes long tells that it goes on, at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import UNIT, capture, files_below, keep, running
from tests.store.repair.test_damage import zeros
from trapd.store import Store
from trapd.store.repair import backup
from trapd.store.sqlite import database, schema
from trapd.store.sqlite.database import Database


class Stopped(Exception):
    """What a caller may raise to end it."""


class Steps:
    """Counts the calls; raises at the one with this number."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.count = 0
        self._stop_at = stop_at

    def __call__(self) -> None:
        self.count += 1
        if self.count == self._stop_at:
            raise Stopped


def open_telling(root: Path, each: Callable[[], None]) -> Store:
    return Store.open(root, UNIT, clock=FakeClock(), max_bytes=10**9, min_free_bytes=0, each=each)


def fill(root: Path, bursts: int) -> None:
    clock = FakeClock()
    with running(root, clock) as (store, session):
        for number in range(bursts):
            event = capture(store, session, clock)
            if number % 2:
                keep(store, session, event)
        backup.make(root, session.database, lambda: None)
        capture(store, session, clock)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small databases tell too."""
    monkeypatch.setattr(database, "_TELL_STEPS", 20)


def test_every_file_is_a_step_of_a_start(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    steps = Steps()
    open_telling(tmp_path, steps).close(clean=True)
    assert steps.count >= len(files_below(tmp_path / "media")) + len(files_below(tmp_path / "thumbs"))


def test_a_rebuild_tells_of_every_photograph_that_it_reads(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    sound, rebuilding = Steps(), Steps()
    open_telling(tmp_path, sound).close(clean=True)
    for file in tmp_path.glob("trapd.db*"):
        file.unlink()
    store = open_telling(tmp_path, rebuilding)
    store.close(clean=True)
    assert store.recovered.adopted == 7
    assert rebuilding.count >= sound.count + len(files_below(tmp_path / "media"))


@pytest.mark.usefixtures("often")
def test_a_check_tells_while_sqlite_reads(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    checked = Database.open(tmp_path / "trapd.db")
    steps = Steps()
    with checked.telling(steps):
        checked.check_whole()
    assert steps.count > 10
    with pytest.raises(Stopped), checked.telling(Steps(5)):
        checked.check_whole()
    told = steps.count
    checked.check_whole()  # it is of use afterwards, and tells nobody
    assert steps.count == told
    checked.close()


@pytest.mark.usefixtures("often")
def test_a_migration_tells_while_it_runs(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    old = Database.open(tmp_path / "trapd.db")
    numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000)"
    later = ("CREATE TABLE later (x)", f"INSERT INTO later {numbers} SELECT x FROM c")
    steps = Steps()
    with pytest.raises(Stopped), old.telling(Steps(100)):
        schema.migrate(old, (*schema.MIGRATIONS, later))
    assert old.number("PRAGMA user_version") == schema.VERSION
    with old.telling(steps):
        schema.migrate(old, (*schema.MIGRATIONS, later))
    assert steps.count > 100
    assert old.number("SELECT count(*) FROM later") == 1000
    old.close()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_start_that_is_ended_anywhere_is_done_again(tmp_path: Path, damaged: bool) -> None:
    fill(tmp_path, 4)
    photographs = files_below(tmp_path / "media")
    if damaged:
        zeros(tmp_path / "trapd.db")
    stop_at, ended = 1, 0
    while True:
        try:
            store = open_telling(tmp_path, Steps(stop_at))
        except Stopped:
            ended += 1
            stop_at += 1 + stop_at // 8
            continue
        break
    with store.session() as session:
        events = session.events.page()
        assert sorted(str(m.path) for event in events for m in event.media) == [
            f"media/{name}" for name in photographs
        ]
    store.close(clean=True)
    assert len(list(tmp_path.glob("trapd.db.damaged-*"))) == damaged
    assert ended > 15
