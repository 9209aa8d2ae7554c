"""Small frames on their way from Capture to Screen, kept in memory while there is room.

Only a short cut: what finds no room here is read again from the photographs on disk. Capture puts, Screen
takes; Screen also waits here to be told of the next burst.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from trapd.records import Small

# Two bursts of three at 640 x 360: the memory of a machine of 512 MB is not for a backlog.
_ROOM_BYTES = 2_100_000


class WaitingFrames:
    """Small frames by event id, at most `room_bytes` of them."""

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self.news = threading.Event()
        self._room_bytes = room_bytes
        self._lock = threading.Lock()
        self._frames: dict[str, tuple[Small, ...]] = {}

    def put(self, event_id: str, frames: Sequence[Small | None]) -> bool:
        """Keep a burst's small frames if all are there and fit; True if kept. Wakes Screen either way."""
        whole = tuple(frame for frame in frames if frame is not None)
        kept = False
        with self._lock:
            if len(whole) == len(frames) and self._used() + _bytes(whole) <= self._room_bytes:
                self._frames[event_id] = whole
                kept = True
        self.news.set()
        return kept

    def take(self, event_id: str) -> tuple[Small, ...] | None:
        """The burst's small frames, no longer kept here; None where there was no room for them.

        Screen takes in the order in which Capture puts: frames put earlier were never asked for, because
        Screen had found the burst on disk before they came here. They go as well.
        """
        with self._lock:
            if event_id in self._frames:
                while (earlier := next(iter(self._frames))) != event_id:
                    del self._frames[earlier]
            return self._frames.pop(event_id, None)

    def _used(self) -> int:
        return sum(_bytes(frames) for frames in self._frames.values())


def _bytes(frames: Sequence[Small]) -> int:
    return sum(len(frame.data) for frame in frames)
