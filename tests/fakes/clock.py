"""A clock that a test moves by hand. Waiting moves it: no test sleeps."""

from __future__ import annotations

import threading

from trapd.records import Moment, TsQuality

NS_PER_S = 1_000_000_000


class FakeClock:
    """The Clock port; starts at `wall_ms` and 1,000 s after boot."""

    def __init__(
        self,
        wall_ms: int = 1_700_000_000_000,
        quality: TsQuality = TsQuality.SYNCED,
        boot_id: str = "fake-boot",
    ) -> None:
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self._boot_ns = 1000 * NS_PER_S
        self._wall_ms = wall_ms
        self._quality = quality

    def now(self) -> Moment:
        with self._lock:
            return Moment(self._wall_ms, self._boot_ns, self._boot_id, self._quality)

    def boot_ns(self) -> int:
        with self._lock:
            return self._boot_ns

    def quality(self) -> TsQuality:
        return self._quality

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Time passes at once, unless the event is set already."""
        if event.is_set():
            return True
        self.advance(max(timeout_s, 0.001))
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._boot_ns += int(seconds * NS_PER_S)
            self._wall_ms += int(seconds * 1000)

    def boot_anew(self, boot_id: str) -> None:
        """The machine begins anew."""
        with self._lock:
            self._boot_id, self._boot_ns = boot_id, 1000 * NS_PER_S

    def set_wall(self, wall_ms: int) -> None:
        """The wall clock jumps; the other does not."""
        with self._lock:
            self._wall_ms = wall_ms

    def set_quality(self, quality: TsQuality) -> None:
        """How far the wall clock may be trusted from now on."""
        self._quality = quality
