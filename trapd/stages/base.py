"""Stages and their supervisor: one thread each, started together, ended in order, first failure shown.

The main thread calls the Supervisor. A stage that raises, or shows no progress for longer than its patience,
ends the process: start-up is recovery, and that one path is used every day.
"""

from __future__ import annotations

import faulthandler
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType

from trapd.errors import Broken, CameraLost, StageFailed, StageStuck

log = logging.getLogger("trapd.supervisor")

_LOOK_S = 1.0
_STOP_WITHIN_S = 8.0  # a second less than the service manager's patience
_LEFT_AFTER_S = 3.0  # a stage that may be left behind
_JOIN_S = 0.1


class Stage(ABC):
    """One thread of the daemon. `run` returns soon after `stop` is set, and beats at every turn."""

    name: str = "stage"
    patience_s: float = 60.0

    def __init__(self) -> None:
        self.stop = threading.Event()
        # Set by its thread, in a call that may take long and holds nothing: a stop need not wait for it then.
        self.may_be_left = False
        self._beat_s = time.monotonic()

    @abstractmethod
    def run(self) -> None:
        """Work until `self.stop` is set. Whatever it raises ends the process."""

    def ended(self) -> None:  # noqa: B027 - few have anything to do then
        """All stages have ended in good order. Main thread; does not raise."""

    def beat(self) -> None:
        """Say that there was progress: called at every turn of the loop, never from a timer."""
        self._beat_s = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the last progress."""
        return time.monotonic() - self._beat_s


class Supervisor:
    """Owns the threads of all stages. `with Supervisor(stages) as s: s.watch(...)`.

    Leaving the block stops the stages one after another in the order given: producers first, the one that
    tells the operator last. Raises StageStuck when they do not end within 8 s altogether. One that may be
    left behind is given 3 s; the process has to leave without its thread then.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)
        self._failed = threading.Event()
        self._failure: tuple[str, BaseException] | None = None
        self._lock = threading.Lock()
        self._threads = {
            stage: threading.Thread(target=self._run, args=(stage,), name=f"trapd-{stage.name}", daemon=True)
            for stage in self._stages
        }

    def __enter__(self) -> Supervisor:
        for stage, thread in self._threads.items():
            stage.beat()
            thread.start()
        return self

    def watch(self, stop: threading.Event, alive: Callable[[], None]) -> None:
        """Until `stop` is set: call `alive` while every stage progresses. Raises StageFailed, StageStuck."""
        while not stop.wait(_LOOK_S):
            self._raise_failure()
            for stage in self._stages:
                if stage.silent_s() > stage.patience_s:
                    faulthandler.dump_traceback()
                    raise StageStuck(
                        f"stage {stage.name} has shown no progress for {stage.silent_s():.0f} s",
                        "its stack stands above; the service manager starts the daemon again",
                    )
            alive()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deadline_s = time.monotonic() + _STOP_WITHIN_S
        stuck = []
        for stage, thread in self._threads.items():
            stage.stop.set()
            if not self._joined(stage, thread, deadline_s):
                stuck.append(stage.name)
        if stuck:
            log.error("stages that did not end: %s", ", ".join(stuck))
        if error is None:
            self._raise_failure()
            if stuck:
                raise StageStuck(f"did not stop within {_STOP_WITHIN_S:.0f} s: {', '.join(stuck)}")
            for stage in self._stages:
                stage.ended()

    def _joined(self, stage: Stage, thread: threading.Thread, deadline_s: float) -> bool:
        """Whether it has ended in time, or may be left behind."""
        left_s = min(deadline_s, time.monotonic() + _LEFT_AFTER_S)
        while thread.is_alive() and (now_s := time.monotonic()) < deadline_s:
            if stage.may_be_left and now_s >= left_s:
                log.info("stage %s is left behind", stage.name)
                return True
            thread.join(min(_JOIN_S, deadline_s - now_s))
        return not thread.is_alive()

    def _run(self, stage: Stage) -> None:
        try:
            stage.run()
            if not stage.stop.is_set():
                raise Broken(f"stage {stage.name} returned without being told to")  # noqa: TRY301
        except BaseException as error:  # a thread has no caller: watch() raises it for all
            with self._lock:
                if self._failure is None:
                    self._failure = (stage.name, error)
            # A camera that is lost is no fault of the program: the last sentence of the process says all.
            where = None if isinstance(error, CameraLost) else error
            log.error("stage %s failed", stage.name, exc_info=where)
            self._failed.set()

    def _raise_failure(self) -> None:
        with self._lock:
            failure = self._failure
        if failure is not None:
            name, error = failure
            raise StageFailed(f"stage {name} failed: {error}") from error
