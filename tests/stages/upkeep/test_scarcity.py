"""Alerts of what was lost stand for an hour, until they were delivered, and across restarts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stages.driver import UNIT, Bench
from tests.stages.driver import bench as make_bench
from trapd.parts import TOMBSTONES
from trapd.stages.alerts import Alerts
from trapd.stages.upkeep.scarcity import Scarcity, words_of
from trapd.store import LOSSES, Rebuilt
from trapd.wire import codec


def fresh(bench: Bench) -> Alerts:
    """The alerts of the next process."""
    alerts = Alerts(bench.store, codec.alert, lambda: codec.rfc3339(bench.clock.now().wall_ms))
    alerts.take_over()
    return alerts


def deliver(bench: Bench) -> None:
    bench.session.outbox.acknowledge([m.row for m in bench.session.outbox.next(100, max_bytes=10**9)])


def test_something_undelivered_that_went_is_told_once_until_an_hour_has_passed(bench: Bench) -> None:
    scarcity = Scarcity(bench.alerts, bench.clock)
    scarcity.look(bench.session)
    assert bench.alerts.names() == ()
    bench.session.counters.add("evicted.discarded")  # nobody's loss
    scarcity.look(bench.session)
    assert bench.alerts.names() == ()
    bench.session.counters.add("evicted.undelivered")
    scarcity.look(bench.session)
    assert bench.alerts.names() == ("evicted",)
    bench.clock.advance(3000)
    bench.session.counters.add("evicted.thumbs")
    scarcity.look(bench.session)
    assert len(bench.leaf("alert/evicted")) == 1
    deliver(bench)
    bench.clock.advance(3000)
    scarcity.look(bench.session)
    assert bench.alerts.names() == ("evicted",)  # less than an hour since the last
    bench.clock.advance(601)
    scarcity.look(bench.session)
    assert bench.alerts.names() == ()
    assert bench.leaf("alert/evicted") == [b""]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_told(bench: Bench, name: str) -> None:
    bench.session.counters.add(name)
    Scarcity(bench.alerts, bench.clock).look(bench.session)
    assert bench.alerts.names() == ("evicted",)


def test_a_photograph_that_nobody_could_take_up_is_a_loss_when_it_makes_room(tmp_path: Path) -> None:
    """Nobody has sent it, and nobody will."""
    folder = tmp_path / "store" / "orphans"
    folder.mkdir(parents=True)
    (folder / f"{UNIT}__2023-11-15__06-13-21__3f9a-000041_0.jpg").write_bytes(bytes(500_000))
    with make_bench(tmp_path / "store") as bench:
        bench.store.space.admit(1)
        bench.store.space._max_bytes = 1
        bench.store.space.tidy(bench.session, 100, TOMBSTONES)
        assert bench.session.counters.all()["evicted.orphans"] == 1
        Scarcity(bench.alerts, bench.clock).look(bench.session)
        assert bench.alerts.names() == ("evicted",)


def test_it_stands_until_it_was_delivered_however_long_that_takes(bench: Bench) -> None:
    scarcity = Scarcity(bench.alerts, bench.clock)
    bench.session.counters.add("evicted.events")
    scarcity.look(bench.session)
    bench.clock.advance(100_000)
    scarcity.look(bench.session)
    assert json.loads(bench.leaf("alert/evicted")[0])["message"].startswith("no room")
    alerts = fresh(bench)  # a restart does not take it away either
    scarcity = Scarcity(alerts, bench.clock)
    bench.clock.advance(100_000)
    scarcity.look(bench.session)
    assert alerts.names() == ("evicted",)
    assert json.loads(bench.leaf("alert/evicted")[0])["message"].startswith("no room")
    deliver(bench)
    scarcity.look(bench.session)
    assert (alerts.names(), bench.leaf("alert/evicted")) == ((), [b""])


def test_a_loss_that_a_crash_kept_from_being_told_is_told_by_the_next_process(bench: Bench) -> None:
    bench.session.counters.add("evicted.audit")
    alerts = fresh(bench)
    Scarcity(alerts, bench.clock).look(bench.session)
    assert alerts.names() == ("evicted",)
    deliver(bench)
    bench.clock.advance(4000)
    alerts = fresh(bench)
    scarcity = Scarcity(alerts, bench.clock)
    bench.clock.advance(4000)
    scarcity.look(bench.session)
    assert alerts.names() == ()


def test_without_room_for_the_alert_it_is_tried_again(bench: Bench) -> None:
    scarcity = Scarcity(bench.alerts, bench.clock)
    bench.session.counters.add("evicted.undelivered")
    bench.store.faults.make("put")
    scarcity.look(bench.session)
    assert bench.alerts.names() == ()
    bench.store.faults.end()
    scarcity.look(bench.session)
    assert bench.alerts.names() == ("evicted",)


def test_refused_triggers_hold_their_alert_for_an_hour(bench: Bench) -> None:
    scarcity = Scarcity(bench.alerts, bench.clock)
    for _ in range(5):
        bench.alerts.raise_("disk", "no room for a burst", "free some")
        bench.session.counters.add("refused.disk")
        scarcity.look(bench.session)
        deliver(bench)
        bench.clock.advance(3000)
    scarcity.look(bench.session)
    assert bench.alerts.names() == ("disk",)
    bench.clock.advance(700)
    scarcity.look(bench.session)
    assert bench.alerts.names() == ()


def test_a_rebuild_is_told_with_numbers() -> None:
    message, hint = words_of(Rebuilt("trapd.db.damaged-1", restored=12, adopted=3, lost=2))
    assert "12 events" in message
    assert "3 bursts" in message
    assert "2 bursts at most" in message
    assert "trapd.db.damaged-1" in hint


def test_a_database_that_has_lost_its_newest_part_is_told_as_such() -> None:
    message, hint = words_of(Rebuilt(restored=12, adopted=3, lost=2, is_older=True))
    assert "newest part" in message
    assert "12 events are as they were" in message
    assert "epoch has changed" in hint
