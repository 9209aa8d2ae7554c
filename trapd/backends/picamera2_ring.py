"""Which of the camera's frames become photographs. `took` runs on picamera2's thread, the rest on Capture's.

The camera completes frames all the time. None is held, so that none of its few buffers is missing there, but
the one that is waited for; and, for a pre-trigger, the last two. A frame counts from the start of its
exposure: its SensorTimestamp is when the first row was read out, and the exposure lies before it. Source:
libcamera's SensorTimestamp, and picamera2's own `flush`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from trapd.frozen import Frozen
from trapd.ports import Clock
from trapd.rules import NS_PER_S

_TIMED = 32  # frames that the timing is taken over
_NS_PER_MS = 1_000_000
_NS_PER_US = 1_000
_SETTLING_TURN_S = 0.05
_LOOK_S = 0.2
_STALE_NS = 2 * NS_PER_S  # no exposure by day or night, and no queue of four frames, takes as long
_PRE_TRIGGER_NS = NS_PER_S  # a frame older than that shows nothing of what triggered


class Held(Frozen):
    """A frame that the camera will not write over until `release`; `start_ns`: when its exposure began."""

    request: Any
    start_ns: int
    metadata: dict[str, Any]

    def release(self) -> None:
        """Give the buffer back; never raises: the camera may have gone."""
        with suppress(Exception):
            self.request.release()


class _Useless(Exception):
    """What makes a frame none that a burst could take, in words that stay the same from try to try."""


def exposure_start_ns(metadata: dict[str, Any], now_ns: int) -> int:
    """On the clock of boot. Raises _Useless where it cannot be told."""
    if (stamp := metadata.get("SensorTimestamp")) is None:
        raise _Useless("they have no SensorTimestamp: whether they are from before a trigger cannot be told")
    start_ns = int(stamp) - int(metadata.get("ExposureTime") or 0) * _NS_PER_US
    if start_ns > now_ns:
        raise _Useless("they are stamped as if still to come, by another clock than the unit's")
    return start_ns


class Ring:
    """The newest frames of a camera that runs; `keep` so many of them while nobody waits."""

    def __init__(self, clock: Clock, keep: int) -> None:
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._kept: deque[Held] = deque()
        self._wanted_ns: int | None = None
        self._found: Held | None = None
        self._came = threading.Event()
        self._arrived: deque[int] = deque(maxlen=_TIMED)
        self._shut = False
        self.frames = 0
        self.trouble = ""  # why the last frame that came since `want` is of no use

    def took(self, request: Any) -> None:
        """picamera2's callback: a frame is complete. An exception here would end its thread for good."""
        try:
            self._take(request)
        except _Useless as error:  # the one who waits will say it
            self.trouble = str(error)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def _take(self, request: Any) -> None:
        now_ns = self._clock.boot_ns()
        with self._lock:
            self.frames += 1
            self._arrived.append(now_ns)
            if self._shut or (self._wanted_ns is None and not self._keep) or self._found is not None:
                return
        metadata = request.get_metadata()
        start_ns = exposure_start_ns(metadata, now_ns)
        spare: Held | None = None
        with self._lock:
            if self._wanted_ns is not None:
                if self._found is None and start_ns >= self._wanted_ns:
                    request.acquire()
                    self._found = Held(request, start_ns, metadata)
                    self._came.set()
                elif now_ns - start_ns > _STALE_NS:
                    self.trouble = "they are stamped as if taken long ago, by another clock than the unit's"
            elif self._keep and not self._shut:
                request.acquire()
                self._kept.append(Held(request, start_ns, metadata))
                spare = self._kept.popleft() if len(self._kept) > self._keep else None
        if spare is not None:
            spare.release()

    def last_before(self, ns: int) -> Held | None:
        """The last kept frame that began before `ns`; the others are given back."""
        with self._lock:
            kept, self._kept = list(self._kept), deque()
        fitting = [held for held in kept if ns - _PRE_TRIGGER_NS <= held.start_ns <= ns]
        chosen = fitting[-1] if fitting else None
        for held in kept:
            if held is not chosen:
                held.release()
        return chosen

    def want(self, from_ns: int) -> None:
        """From now on catch the first frame whose exposure begins at `from_ns` or later."""
        with self._lock:
            spare, self._found = self._found, None
            self._came.clear()
            self._wanted_ns = from_ns
            self.trouble = ""
        if spare is not None:
            spare.release()

    def wait(self, timeout_s: float, leave: Callable[[], bool]) -> Held | None:
        """The frame that is wanted, now the caller's; None when it did not come in time, or on `leave`."""
        due_ns = max(self._wanted_ns or 0, self._clock.boot_ns()) + int(timeout_s * NS_PER_S)
        while (left_ns := due_ns - self._clock.boot_ns()) > 0 and not leave():
            if self._clock.wait(self._came, min(left_ns / NS_PER_S, _LOOK_S)):
                break
        with self._lock:
            held, self._found = self._found, None
            self._came.clear()
        return held

    def rest(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            spare, self._found = self._found, None
            self._wanted_ns = None
            self._came.clear()
        if spare is not None:
            spare.release()

    def shut(self) -> None:
        """Hold nothing, now and later: the camera is being closed."""
        with self._lock:
            self._shut = True
            kept, self._kept = list(self._kept), deque()
        for held in kept:
            held.release()
        self.rest()

    def settle(self, frames: int, timeout_s: float, leave: Callable[[], bool]) -> None:
        """Wait for so many frames, `timeout_s`, or `leave`: exposure and colour find themselves."""
        until_ns = self._clock.boot_ns() + int(timeout_s * NS_PER_S)
        never = threading.Event()
        while self.frames < frames and self._clock.boot_ns() < until_ns and not leave():
            self._clock.wait(never, _SETTLING_TURN_S)

    def timing(self) -> dict[str, float]:
        """Mean time between frames, and the age of the newest. Any thread."""
        with self._lock:
            arrived = tuple(self._arrived)
        if not arrived:
            return {}
        timing = {"camera_frame_age_s": round(max(0, self._clock.boot_ns() - arrived[-1]) / NS_PER_S, 3)}
        if len(arrived) > 1:
            mean_ns = (arrived[-1] - arrived[0]) / (len(arrived) - 1)
            timing["camera_frame_ms"] = round(mean_ns / _NS_PER_MS, 1)
        return timing
