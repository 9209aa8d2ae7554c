"""The heartbeat: flat and numeric, one row however long the outage, and no reason to end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.stages.driver import Bench
from trapd.errors import BadDocument, StoreCorrupt, StoreError
from trapd.rules import NS_PER_S
from trapd.stages.upkeep.facts import Facts
from trapd.stages.upkeep.heartbeat import Heartbeat, Reading
from trapd.wire import codec

EVERY_S = 300.0


class Beats:
    """A Heartbeat that runs for so many seconds of the test's clock."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.told: list[Mapping[str, Reading]] = []
        self.at_s: list[float] = []
        self.online = False
        self.mark: Callable[[], object] = lambda: None
        self.encode = lambda read: codec.state(bench.clock.now(), read)
        facts = Facts(
            store=bench.store,
            clock=bench.clock,
            alerts=bench.alerts,
            online=lambda: self.online,
            version="0.1.0",
        )
        self.read = facts.read
        self.began_ns = bench.clock.boot_ns()

    def run(self, seconds: float) -> None:
        stage = Heartbeat(
            every_s=EVERY_S,
            store=self.bench.store,
            clock=self.bench.clock,
            read=self.read,
            encode=self.encode,
            each=self._each,
            online=lambda: self.online,
            mark=self.mark,
        )
        end_ns = self.bench.clock.boot_ns() + int(seconds * NS_PER_S)
        beat = stage.beat

        def beat_until_the_end() -> None:
            beat()
            if self.bench.clock.boot_ns() >= end_ns:
                stage.stop.set()

        stage.beat = beat_until_the_end  # type: ignore[method-assign]  # called at every turn
        stage.run()

    def _each(self, facts: Mapping[str, Reading]) -> None:
        self.told.append(facts)
        self.at_s.append((self.bench.clock.boot_ns() - self.began_ns) / NS_PER_S)


def test_the_first_comes_at_once_and_the_others_at_their_pace(bench: Bench) -> None:
    beats = Beats(bench)
    beats.run(1000.0)
    assert beats.at_s == [0.0, 300.0, 600.0, 900.0]


def test_the_status_line_does_not_wait_for_a_heartbeat(bench: Bench) -> None:
    """It is told when its mark changes; the store gets no row more for it."""
    beats = Beats(bench)
    beats.mark = lambda: beats.bench.clock.boot_ns() // (100 * NS_PER_S)
    rows: list[object] = []

    def encoded(read: Any) -> bytes:
        rows.append(read)
        return codec.state(bench.clock.now(), read)

    beats.encode = encoded
    beats.run(250.0)
    assert beats.at_s[:2] == [0.0, 1.0]
    assert len(beats.at_s) in (4, 5)
    assert len(rows) == 1


def test_one_comes_with_each_connection(bench: Bench) -> None:
    """One that was queued before would say that there is no link, for as long as it stands."""
    beats = Beats(bench)
    wait = bench.clock.wait

    def wait_and_connect(event: threading.Event, timeout_s: float) -> bool:
        beats.online = 100.0 <= (bench.clock.boot_ns() - beats.began_ns) / NS_PER_S < 150.0
        return wait(event, timeout_s)

    bench.clock.wait = wait_and_connect  # type: ignore[method-assign]  # the link comes and goes meanwhile
    beats.run(500.0)
    assert beats.at_s == [0.0, 101.0, 401.0]
    assert [facts["online"] for facts in beats.told] == [False, True, False]


def test_an_outage_of_any_length_queues_one_row_the_newest(bench: Bench) -> None:
    beats = Beats(bench)
    beats.run(10_000.0)
    assert len(beats.told) == 34
    assert bench.session.outbox.depth() == {"state": 1}
    (payload,) = bench.leaf("state")
    assert json.loads(payload)["running_s"] == beats.told[-1]["running_s"] == 9900.0


def test_it_is_flat_and_numeric_where_it_can_be(bench: Bench) -> None:
    bench.kept(thumb=True)
    bench.burst()
    bench.session.counters.add("refused.busy", 3)
    bench.session.counters.add("photographs_bad", 2)
    bench.alerts.raise_("camera", "no camera", "look")
    beats = Beats(bench)
    beats.online = True
    bench.clock.advance(5.0)
    beats.run(1.0)
    state = json.loads(bench.leaf("state")[0])
    words = {name for name, value in state.items() if not isinstance(value, int | float)}
    assert words <= {"ts", "ts_quality", "version", "epoch"}
    expected = {
        "v": 1,
        "version": "0.1.0",
        "epoch": bench.store.epoch,
        "online": 1,
        "alerts": 1,
        "bursts": 2,
        "kept": 1,
        "captured": 1,
        "discarded": 0,
        "delivered": 0,
        "queue_event": 1,
        "queue_thumb": 1,
        "queue_alert": 1,
        "refused_busy": 3,
        "photographs_bad": 2,
    }
    assert expected.items() <= state.items()
    assert state["oldest_unsent_s"] >= 5.0
    assert state["disk_free_bytes"] == bench.store.free_bytes
    assert state["disk_used_bytes"] > 0


def test_what_is_unknown_is_left_out(bench: Bench) -> None:
    beats = Beats(bench)
    beats.run(1.0)
    assert "oldest_unsent_s" not in beats.told[0]
    assert None not in beats.told[0].values()


@pytest.mark.parametrize("operation", ["put", "disk"])
def test_a_store_that_refuses_costs_one_heartbeat(bench: Bench, operation: str) -> None:
    beats = Beats(bench)
    bench.store.faults.make(operation, StoreError("the disk does not answer", ""))
    beats.run(100.0)
    assert beats.told == []
    bench.store.faults.end()
    beats.run(100.0)
    assert len(beats.told) == 1


def test_a_reading_that_cannot_be_written_costs_one_heartbeat(bench: Bench) -> None:
    beats = Beats(bench)
    sound = beats.read

    def unsound(session: object) -> Mapping[str, Reading]:
        raise BadDocument("nan is no number of JSON")

    beats.read = unsound
    beats.run(10.0)
    beats.read = sound
    beats.run(10.0)
    assert len(beats.told) == 1


def test_a_damaged_database_ends_the_stage(bench: Bench) -> None:
    beats = Beats(bench)
    bench.store.faults.make("put", StoreCorrupt("damaged", ""))
    with pytest.raises(StoreCorrupt):
        beats.run(1.0)
