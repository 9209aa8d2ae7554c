"""Rows that have waited for too long go, by whatever clock can tell."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.clock import FakeClock
from trapd.records import Kind
from trapd.store import Store

DAY_S = 24 * 3600.0


def test_what_is_old_goes_and_nothing_else(tmp_path: Path) -> None:
    clock = FakeClock()
    store = Store.open(tmp_path, "ridge-07", clock=clock, max_bytes=10**9, min_free_bytes=10**6)
    with store.session() as session:

        def put() -> int:
            return session.outbox.put(Kind.CONTROL, "@a", b"{}", retain=False)

        old, spared = put(), put()
        clock.advance(DAY_S)
        young = put()
        clock.advance(10.0)
        clock.set_wall(0)  # it says nothing of rows of this boot
        assert session.outbox.forget_older([old, young, 999], DAY_S) == [old]
        clock.set_wall(1_700_000_000_000 + int(3 * DAY_S * 1000))
        clock.boot_anew("another")
        assert session.outbox.forget_older([spared, young], DAY_S) == [spared, young]
        assert session.outbox.forget_older([], DAY_S) == []
    store.close(clean=True)
