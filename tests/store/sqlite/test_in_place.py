"""A database that is taken away under a running unit ends the process: more would be lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import capture, keep, open_store, running
from trapd.errors import StoreCorrupt


def test_a_database_in_its_place_is_not_complained_of(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        for _ in range(3):
            keep(store, session, capture(store, session, clock))
            session.database.checkpoint()
            store.check_in_place(session)


@pytest.mark.parametrize("name", ["trapd.db", "trapd.db-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_one_that_is_gone_or_another_is_said_and_the_next_start_loses_nothing(
    tmp_path: Path, name: str, replaced: bool
) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    session = store.session()
    events = {keep(store, session, capture(store, session, clock)).id for _ in range(3)}
    if replaced:
        shutil.copy(tmp_path / name, tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / name)
    else:
        (tmp_path / name).unlink()
    with pytest.raises(StoreCorrupt, match=f"{name} was removed or replaced"):
        store.check_in_place(session)
    store.suspect()
    session.close()
    store.close(clean=False)
    with running(tmp_path, clock) as (store, session):
        assert {event.id for event in session.events.page()} == events
