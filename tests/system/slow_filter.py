"""Capture and Screen as the daemon has them, with a filter as slow as one likes. Run as a child: memory.

`python -m tests.system.slow_filter STORE PHOTOGRAPHS BURSTS` takes so many bursts while the filter judges
none, and prints what the process holds after the first one and after all, in MB.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from tests.fakes.classifier import FakeClassifier
from tests.system.daemon import UNIT, until
from trapd.backends.camera_replay import ReplayCamera
from trapd.backends.sensor_timer import TimerSensor
from trapd.host import vitals
from trapd.host.clock import SystemClock
from trapd.records import Trigger
from trapd.stages.alerts import Alerts
from trapd.stages.base import Supervisor
from trapd.stages.capture.stage import Capture, CapturePlan
from trapd.stages.capture.waiting import WaitingFrames
from trapd.stages.screen import Screen, ScreenPlan
from trapd.store import ExifContext, Store
from trapd.wire import codec


class SlowUnit:
    """Sensor, camera, store, filter: `frame_s` is what the filter takes for a frame."""

    def __init__(
        self, root: Path, photographs: Path, *, every_s: float, frame_s: float, interval_s: float = 0.3
    ) -> None:
        clock = SystemClock()
        self._end = threading.Event()
        self.store = Store.open(root, UNIT, clock=clock, max_bytes=10**11, min_free_bytes=0)
        alerts = Alerts(self.store, codec.alert, lambda: codec.rfc3339(clock.now().wall_ms))
        waiting = WaitingFrames()
        self.classifier = FakeClassifier()
        self.classifier.judging = lambda: void(self._end.wait(frame_s))
        self.capture = Capture(
            CapturePlan(
                frames=3,
                interval_s=interval_s,
                while_active=True,
                cooldown_s=0.0,
                max_per_hour=1_000_000,
                probe_s=300.0,
                config="sha256:" + "ab" * 32,
            ),
            sensor=TimerSensor(every_s=every_s, clock=clock),
            camera=ReplayCamera(photographs, filter_size=(640, 360), clock=clock),
            store=self.store,
            exif=ExifContext(UNIT, "replay"),
            clock=clock,
            waiting=waiting,
            alerts=alerts,
            environment=vitals.environment,
        )
        self.screen = Screen(
            ScreenPlan(None, ("animal",), 0.02, 24_576, discard_at_once=False),
            classifier=self.classifier,
            store=self.store,
            waiting=waiting,
            alerts=alerts,
            clock=clock,
            announce=void,
        )
        self._supervisor = Supervisor((self.capture, self.screen))

    def __enter__(self) -> SlowUnit:
        self._supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._supervisor.__exit__(None, None, None)
        self.store.close(clean=True)


def void(*_: object) -> None:
    """What came back is of no interest."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    root, photographs, bursts = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    clock = SystemClock()
    fast = TimerSensor(every_s=0.01, clock=clock)
    with SlowUnit(root, photographs, every_s=3600.0, frame_s=3600.0, interval_s=0.0) as unit:
        with unit.store.session() as session:

            def taken(count: int) -> bool:
                return session.events.totals()["captured"] >= count

            def first() -> bool:
                unit.capture.offer(Trigger("timer", "timer", clock.boot_ns()))
                return taken(1)

            until(first, "a burst")
            early_mb = resident_mb()
            fast.start(unit.capture.offer)
            until(lambda: taken(bursts), "all bursts", 600)
            fast.close()
        print(early_mb, resident_mb(), flush=True)


if __name__ == "__main__":
    main()
