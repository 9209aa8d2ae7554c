"""The machine's clocks, and how far the wall clock may be trusted. Any thread."""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

from trapd.records import Moment, TsQuality

_EARLIEST_PLAUSIBLE_S = 1_735_689_600  # 2025-01-01: an earlier clock was never set
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_QUALITY_KEPT_NS = 10_000_000_000
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The Clock port over the kernel."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()
        self._quality: tuple[int, TsQuality] | None = None

    def now(self) -> Moment:
        """Both clocks, read together."""
        return Moment(time.time_ns() // 1_000_000, self.boot_ns(), self._boot_id, self.quality())

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included."""
        return time.clock_gettime_ns(_BOOT_CLOCK)

    def quality(self) -> TsQuality:
        """Looked up at most every 10 s: it is asked for with every burst."""
        now_ns = self.boot_ns()
        known = self._quality
        if known is None or now_ns - known[0] > _QUALITY_KEPT_NS:
            known = (now_ns, _quality())
            self._quality = known
        return known[1]

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait for `event`, at most `timeout_s`."""
        return event.wait(timeout_s)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"start-{time.time_ns()}"  # no Linux: the life of this process stands for the boot


def _quality() -> TsQuality:
    if time.time() < _EARLIEST_PLAUSIBLE_S:
        return TsQuality.UNSET
    if _synchronised():
        return TsQuality.SYNCED
    if Path("/sys/class/rtc/rtc0").exists():
        return TsQuality.RTC
    return TsQuality.ESTIMATED


def _synchronised() -> bool:
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    # struct timex with modes = 0 only reads; the buffer is larger than the struct on any machine.
    state: int = adjtimex(ctypes.create_string_buffer(512))
    return 0 <= state < _TIME_ERROR
