"""Whatever happens in whatever order: every event is published, nothing leaves without the broker's word."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.fakes.store import FULL
from tests.fakes.uplink import FakeBroker
from tests.machines import walk
from tests.stages.driver import BASE, DEAD_AFTER_S, Bench, DeliverDriver, bench
from trapd.records import Kind, State
from trapd.stages.deliver.stage import DeliverPlan
from trapd.wire.window import Limit

KINDS = ("event", "thumb", "media", "state", "alert", "trail")


class AnyOrder(RuleBasedStateMachine):
    """Deliver over the real store, before a broker that answers, refuses, forgets, falls silent and goes.

    And ends the link over one event.
    """

    receipts = False

    def __init__(self) -> None:
        super().__init__()
        self.confirmed: set[str] = set()
        self.asked: set[str] = set()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.bench: Bench = self.stack.enter_context(bench(folder))
        self.broker = FakeBroker()
        self.broker.reason = self._reason
        self.reasons: dict[str, int] = {}
        self.link = self._new_process()
        self.due: set[str] = set()
        self.trails = 0

    def _reason(self, topic: str) -> int:
        return self.reasons.get(topic.removeprefix(f"{BASE}/").partition("/")[0], 0x00)

    def _new_process(self) -> DeliverDriver:
        limit = Limit(4, 3000)
        plan = DeliverPlan(limit, DEAD_AFTER_S, receipts=self.receipts, chunk_bytes=300)
        driver = DeliverDriver(self.bench, self.broker, plan=plan)
        driver.stage._suspicion.load(driver.session, driver.clock.boot_ns())
        return driver

    # --- what happens on the unit --------------------------------------------------------------------------

    @rule(thumb=st.booleans())
    def keep(self, thumb: bool) -> None:
        self.due.add(self.bench.kept(thumb=thumb).id)

    @rule(data=st.data())
    def ask_for_a_photograph(self, data: st.DataObject) -> None:
        """As somebody would who was told of the event."""
        if self.due:
            medium = f"{data.draw(st.sampled_from(sorted(self.due)))}-0"
            self.asked.add(medium)
            self.bench.session.outbox.request_media({medium: None}, chunk_bytes=300)

    @rule()
    def say(self) -> None:
        self.trails += 1
        self.bench.session.outbox.put(Kind.TRAIL, "trail", b"%d" % self.trails, retain=False)

    @rule(value=st.integers(0, 9))
    def beat(self, value: int) -> None:
        self.bench.session.outbox.put(Kind.STATE, "state", b"%d" % value, retain=True)

    @rule()
    def alert(self) -> None:
        self.bench.alerts.raise_("camera", "no camera", "look")

    @rule()
    def all_clear(self) -> None:
        self.bench.alerts.clear("camera")

    @rule(turns=st.integers(1, 5), after_s=st.sampled_from([0.0, 0.3, 3.0, 70.0]))
    def work(self, turns: int, after_s: float) -> None:
        self.link.turn(turns, after_s=after_s)

    @rule()
    def crash(self) -> None:
        """The process ends as it stands; the broker sees its link break off, or not yet."""
        self.link.session.close()
        self.bench.alerts.take_over()
        self.link = self._new_process()

    @rule()
    def stop(self) -> None:
        self.link.stage.stop.set()
        self.link.stage._drop_link()
        self.link.session.close()
        self.bench.alerts.take_over()
        self.link = self._new_process()

    @rule()
    def fill_the_disk(self) -> None:
        self.bench.store.faults.make("acknowledge", FULL)
        self.link.turn(2)
        self.bench.store.faults.end()

    # --- what happens at the broker ------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), reason=st.sampled_from([0x00, 0x00, 0x10, 0x87, 0x97]))
    def answer(self, kind: str, reason: int) -> None:
        self.reasons[kind] = reason

    @rule()
    def fall_silent(self) -> None:
        self.broker.withhold = True

    @rule()
    def speak(self) -> None:
        self.broker.release()

    @rule()
    def drop(self) -> None:
        self.broker.drop()

    @rule()
    def go(self) -> None:
        self.broker.stop()

    @rule(data=st.data())
    def end_the_link_over_one(self, data: st.DataObject) -> None:
        if self.due:
            self.broker.ends_over = f'"{data.draw(st.sampled_from(sorted(self.due)))}"'.encode()

    @rule()
    def put_up_with_it(self) -> None:
        self.broker.ends_over = b""

    @rule(keep=st.booleans())
    def come(self, keep: bool) -> None:
        self.broker.start(keep=keep)

    @rule(most=st.sampled_from([1, 3, 65535]))
    def take_at_once(self, most: int) -> None:
        self.broker.receive_maximum = most

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """The receiver confirms some of what it may or may not have."""
        if self.due:
            ids = data.draw(st.lists(st.sampled_from(sorted(self.due)), max_size=3))
            self.confirmed |= set(ids)
            self.broker.say(f"{BASE}/receipt", json.dumps({"ids": ids}).encode())

    @rule(upto=st.integers(0, 20))
    def confirm_upto(self, upto: int) -> None:
        epoch = self.bench.store.epoch
        self.confirmed |= {event.id for event in self.bench.events() if (event.n or 99) <= upto}
        self.broker.say(f"{BASE}/receipt", json.dumps({"epoch": epoch, "upto": upto}).encode())

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def what_left_was_taken(self) -> None:
        """Delivered is only what the broker answered with success."""
        taken = {
            json.loads(message.payload)["id"]
            for message, reason in self.broker.answered
            if reason == 0x00 and message.topic == f"{BASE}/event"
        }
        delivered = {event.id for event in self.bench.events() if event.state is State.DELIVERED}
        assert delivered <= taken
        assert not self.receipts or delivered <= self.confirmed

    @invariant()
    def what_is_kept_waits(self) -> None:
        waiting = self.bench.session.outbox.depth().get("event", 0)
        assert waiting == sum(event.state is State.KEPT for event in self.bench.events())

    @invariant()
    def the_window_holds(self) -> None:
        connection = self.link.stage._connection
        if connection is None:
            return
        window = connection.window
        assert window.messages <= 4
        assert window.messages <= 1 or window.bytes <= 3000

    def teardown(self) -> None:
        """A quiet end: the broker is there, listens, and takes everything."""
        try:
            self.reasons.clear()
            self.broker.ends_over = b""
            self.link.stage.lift_rests()
            self.broker.receive_maximum = 65535
            self.broker.start()
            self.broker.release()
            self.bench.alerts.clear_unclaimed()  # as a unit does that has run for a while
            self.broker.drop()  # on the same link what was refused rests for an hour
            for turn in range(400):
                # What was refused waits an hour of the same link.
                self.link.turn(after_s=3700.0 if turn % 100 == 99 else 1.0)
                if self.receipts:
                    receipt = {"epoch": self.bench.store.epoch, "upto": len(self.due)}
                    self.broker.say(f"{BASE}/receipt", json.dumps(receipt).encode())
                if self.link.stage.online and not self.link.waiting():
                    break
            self._everything_arrived()
        finally:
            self.link.close()
            self.stack.close()

    def _everything_arrived(self) -> None:
        assert self.link.waiting() == []
        assert {event.state for event in self.bench.events()} <= {State.DELIVERED}
        heard = [message for message in self.broker.published if message.topic == f"{BASE}/event"]
        assert {json.loads(message.payload)["id"] for message in heard} == self.due
        trails = {message.payload for message in self.broker.published if message.topic == f"{BASE}/trail"}
        assert trails == {b"%d" % number for number in range(1, self.trails + 1)}
        for medium in self.asked:
            chunks = {m.topic: m.payload for m in self.broker.published if f"/media/{medium}/c/" in m.topic}
            stored = self.bench.session.events.get(medium.rpartition("-")[0])
            assert stored is not None
            assert sum(map(len, chunks.values())) == stored.media[0].bytes
        standing = {
            topic.removeprefix(f"{BASE}/alert/")
            for topic in self.broker.retained
            if topic.startswith(f"{BASE}/alert/")
        }
        assert standing == set(self.bench.alerts.names()) <= {"camera"}
        assert self.broker.retained[f"{BASE}/availability"] == b"online"


class AnyOrderWithReceipts(AnyOrder):
    """The same, where only a receipt frees an event."""

    receipts = True


@pytest.mark.slow
@pytest.mark.parametrize("machine", [AnyOrder, AnyOrderWithReceipts])
def test_whatever_happens_in_whatever_order(machine: type[AnyOrder]) -> None:
    name = "delivery, receipts" if machine.receipts else "delivery, PUBACK"
    unhurried = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    walk(machine, name, steps=40, suppress_health_check=unhurried)
