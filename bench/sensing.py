"""Capture and Screen as the daemon has them, with a filter that may be kept busy: for capture and edge."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trapd.backends.camera_replay import ReplayCamera
from trapd.backends.model_files import find
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.host import vitals
from trapd.host.clock import SystemClock
from trapd.ports import Sensor
from trapd.records import FrameScore, ModelInfo, Small
from trapd.stages.alerts import Alerts
from trapd.stages.capture.stage import Capture, CapturePlan
from trapd.stages.capture.waiting import WaitingFrames
from trapd.stages.screen import Screen, ScreenPlan
from trapd.store import ExifContext, Store
from trapd.wire import codec

WITHIN_S = 120.0
"""What does not happen within this ends the bench."""
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 800_000_000  # a whole run of capture takes 550 MB, a short one 65

_UNIT = "bench-unit"


def memory() -> Path | None:
    """Where the store lies: else a disk that stalls once in a hundred bursts is all that shows.

    None, the usual place, where there is none, or too little: a container may have 64 MB of it.
    """
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES else None


class Endless:
    """The default model, judging one frame until it is told to end; without `busy` it only waits."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.end = threading.Event()
        self._model = TfliteClassifier(find("default", None), name="default", threads=2)
        self.close = self._model.close
        self.prepare = self._model.prepare

    def open(self) -> ModelInfo:
        return self._model.open()

    def judge(self, picture: Small | bytes) -> FrameScore:
        score = self._model.judge(picture)
        while not self.end.is_set():
            if self.busy.wait(0.05):
                score = self._model.judge(picture)
        return score


class Told(WaitingFrames):
    """Says when a burst is durable: Capture puts its small frames here right after it."""

    def __init__(self) -> None:
        super().__init__()
        self.durable = threading.Event()
        self.at_s = 0.0

    def put(self, event_id: str, frames: Sequence[Small | None]) -> bool:
        self.at_s = time.perf_counter()
        self.durable.set()
        return super().put(event_id, frames)


@contextmanager
def running(
    folder: Path, plan: CapturePlan, *, sensor: Sensor, camera: ReplayCamera, clock: SystemClock
) -> Iterator[tuple[Capture, Told, Endless]]:
    """Both stages on their threads, over a new store in `folder`; ended and closed afterwards."""
    store = Store.open(folder, _UNIT, clock=clock, max_bytes=10**11, min_free_bytes=0)
    alerts, told, model = Alerts(store, codec.alert, lambda: ""), Told(), Endless()
    capture = Capture(
        plan,
        sensor=sensor,
        camera=camera,
        store=store,
        exif=ExifContext(_UNIT, "replay"),
        clock=clock,
        waiting=told,
        alerts=alerts,
        environment=vitals.environment,
    )
    screen = Screen(
        ScreenPlan(None, (), 0.0, 24_576, discard_at_once=False),
        classifier=model,
        store=store,
        waiting=told,
        alerts=alerts,
        clock=clock,
        announce=lambda _: None,
    )
    threads = [threading.Thread(target=stage.run) for stage in (capture, screen)]
    for thread in threads:
        thread.start()
    try:
        yield capture, told, model
    finally:
        model.end.set()
        for stage in (capture, screen):
            stage.stop.set()
        for thread in threads:
            thread.join(WITHIN_S)
        store.close(clean=True)


def p99(taken: Sequence[float]) -> float:
    """The 99th percentile, of the nearest rank."""
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.99))]
