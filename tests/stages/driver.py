"""Drives one stage at a time on the test's own thread: real store, fakes at the ports, time moved by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.camera import FakeCamera, jpeg
from tests.fakes.clock import FakeClock
from tests.fakes.sensor import FakeSensor
from tests.fakes.store import FaultyStore
from tests.fakes.uplink import FakeBroker, FakeUplink
from trapd.ports import Received
from trapd.records import Event, Frame, Trigger, Verdict
from trapd.stages.alerts import Alerts
from trapd.stages.capture.doubt import Judged
from trapd.stages.capture.stage import Capture, CapturePlan
from trapd.stages.capture.waiting import WaitingFrames
from trapd.stages.deliver.stage import Deliver, DeliverPlan
from trapd.store import ExifContext, Session
from trapd.wire import codec
from trapd.wire.topics import Topics
from trapd.wire.window import Backoff, Limit

UNIT = "ridge-07"
CONFIG = "sha256:" + "ab" * 32
EXIF = ExifContext(UNIT, "replay")
PLAN = CapturePlan(
    frames=3,
    interval_s=0.0,
    while_active=True,
    cooldown_s=0.0,
    max_per_hour=600,
    probe_s=300.0,
    config=CONFIG,
)


@dataclass
class Bench:
    """What a stage stands on."""

    clock: FakeClock
    store: FaultyStore
    session: Session  # the test's own
    alerts: Alerts
    waiting: WaitingFrames = field(default_factory=WaitingFrames)

    def refused(self) -> dict[str, int]:
        """Counted refusals by reason."""
        return {
            name.removeprefix("refused."): count
            for name, count in self.session.counters.all().items()
            if name.startswith("refused.")
        }

    def events(self) -> list[Event]:
        """All of them, in the order of recording."""
        return self.session.events.page(limit=10_000)

    def burst(self, *, frames: int = 3, shade: int = 90) -> Event:
        """A burst as Capture leaves it: photographs on disk, and a captured row."""
        self.clock.advance(0.001)
        moment = self.clock.now()
        trigger = Trigger("pir", "17", moment.boot_ns)
        seq = self.store.next_seq()
        files = self.store.burst_files(seq, moment, EXIF, trigger=trigger, config=CONFIG)
        for _ in range(frames):
            files.add(Frame(jpeg(shade=shade), 64, 36, moment.boot_ns))
        return self.session.events.record(
            seq=seq, moment=moment, trigger=trigger, media=files.commit(), config=CONFIG, env={}
        )

    def kept(self, *, thumb: bool = False) -> Event:
        """An event that is due for delivery."""
        event = self.burst(frames=1)
        verdict = Verdict("unclassified", keep=True, score=0.9, model="fake", threshold=0.35)
        made = self.store.write_thumb(event, 0, 20_000) if thumb else None
        return self.session.events.settle(event.id, verdict, thumb=made)

    def settled(
        self, event: Event, *, urgent: bool = False, media: bool = False, thumb: bool = False
    ) -> Event:
        """A burst of its own, now due for delivery."""
        verdict = Verdict("animal", keep=True, score=0.9, model="fake", threshold=0.35)
        made = self.store.write_thumb(event, 0, 20_000) if thumb else None
        return self.session.events.settle(event.id, verdict, thumb=made, urgent=urgent, media=media)

    def leaf(self, leaf: str) -> list[bytes]:
        """What waits in the outbox for `leaf`."""
        rows = self.session.outbox.next(1000, max_bytes=10**9)
        return [row.payload or b"" for row in rows if row.leaf == leaf]

    def files(self) -> list[str]:
        """Every file below the store's folders, but the database and its lock."""
        root = self.store.root
        return sorted(
            str(file.relative_to(root)) for file in root.rglob("*") if file.is_file() and file.parent != root
        )


@contextmanager
def bench(root: Path, *, max_bytes: int = 10**9) -> Iterator[Bench]:
    """A store of its own, closed in good order."""
    clock = FakeClock()
    store = FaultyStore.make(root, UNIT, clock, max_bytes=max_bytes)
    try:
        with store.session() as session:
            alerts = Alerts(store, codec.alert, lambda: codec.rfc3339(clock.now().wall_ms))
            yield Bench(clock, store, session, alerts)
    finally:
        store.close(clean=True)


class CaptureDriver:
    """A Capture, turn by turn. The first turn arms it."""

    def __init__(self, bench: Bench, plan: CapturePlan = PLAN) -> None:
        self.camera = FakeCamera(bench.clock)
        self.sensor = FakeSensor(bench.clock)
        self.clock = bench.clock
        self.session = bench.store.session()
        self.judged = Judged()  # what Screen would say
        self.stage = Capture(
            plan,
            sensor=self.sensor,
            camera=self.camera,
            store=bench.store,
            exif=EXIF,
            clock=bench.clock,
            waiting=bench.waiting,
            alerts=bench.alerts,
            environment=lambda: {"cpu_c": 31.0},
            judged=lambda: self.judged,
        )

    def turn(self, times: int = 1, *, after_s: float = 0.0) -> None:
        """The stage's turns, each `after_s` later than the one before."""
        for _ in range(times):
            self.clock.advance(after_s)
            self.stage._turn(self.session)

    def fire(self, times: int = 1) -> None:
        """So many edges, one after another, each with the turn that answers it."""
        for _ in range(times):
            self.sensor.fire()
            self.turn()

    def close(self) -> None:
        self.session.close()


BASE = f"trapd/v1/{UNIT}"
LIMIT = Limit(messages=20, bytes=500_000)
DEAD_AFTER_S = 96.0


class DeliverDriver:
    """A Deliver before a broker in memory, turn by turn. The first turns connect it."""

    def __init__(
        self,
        bench: Bench,
        broker: FakeBroker | None = None,
        *,
        limit: Limit = LIMIT,
        plan: DeliverPlan | None = None,
        pass_on: Callable[[Received], bool] | None = None,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self.bench = bench
        self.beside = beside
        self.clock = bench.clock
        self.broker = broker or FakeBroker()
        self.session = bench.store.session()
        self.stage = Deliver(
            plan or DeliverPlan(limit, DEAD_AFTER_S),
            uplink=FakeUplink(self.broker, f"trapd-{UNIT}"),
            topics=Topics("trapd/v1", UNIT),
            store=bench.store,
            alerts=bench.alerts,
            clock=bench.clock,
            encode_event=codec.event,
            backoff=Backoff(random.Random(1)),
            pass_on=pass_on,
        )

    def turn(self, times: int = 1, *, after_s: float = 0.0) -> None:
        """The stage's turns, each `after_s` later than the one before."""
        for _ in range(times):
            self.clock.advance(after_s)
            self.stage._turn(self.session, 0.0)
            assert self.session.late_sync.wait(10)
            self.beside()

    def connect(self) -> None:
        """Turns until the broker has it, and a few more for the first rows."""
        for _ in range(500):
            self.turn(after_s=0.5)
            if self.stage.online:
                self.turn(4)
                return
        raise AssertionError("not connected")

    def leaves(self) -> list[str]:
        """What reached the broker, as leaves, in order; with repeats."""
        return [message.topic.removeprefix(f"{BASE}/") for message in self.broker.published]

    def forget(self) -> None:
        """From now on `leaves` counts anew."""
        self.broker.published.clear()
        self.broker.answered.clear()

    def waiting(self) -> list[str]:
        """What still lies in the outbox, in the order in which it would go."""
        return [row.leaf for row in self.bench.session.outbox.next(1000, max_bytes=10**9)]

    def close(self) -> None:
        self.stage._drop_link()
        self.session.close()
