"""Logging: for a person on a terminal, for the journal otherwise. Set up once, by the main thread."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TextIO

_JOURNAL_PRIORITY = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
_CLOCK = "%H:%M:%S"  # whoever looks on knows the day
_DATE = "%Y-%m-%dT%H:%M:%S%z"
_REPEATS = 5
_REPEATS_WITHIN_S = 3600.0
_KEPT = 200
_NUMBER = r"[0-9]+"


class _JournalFormatter(logging.Formatter):
    """sd-daemon(3) prefixes: the journal adds the time and takes the priority from `<n>`."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((n for level, n in _JOURNAL_PRIORITY if record.levelno >= level), 7)
        # One record, one entry: the journal cuts at line breaks and each line needs its own priority.
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class Repeats(logging.Filter):
    """Lets a warning through five times an hour, then says how many were left out. Any thread.

    The journal of a unit that hangs on a tree for two months lies on its card: a camera that is tried again
    every minute must not fill it. Warnings are the same when nothing but numbers differs between them. What
    is no warning is let through.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._lock = threading.Lock()
        # The wording: when its hour began, and how many came in it.
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; the first one of a new hour tells of those that were not."""
        if record.levelno < logging.WARNING:
            return True
        wording = (record.name, record.levelno, re.sub(_NUMBER, "#", record.getMessage()))
        now_s = self._now_s()
        with self._lock:
            began_s, count = self._seen.pop(wording, (now_s, 0))
            left_out = 0
            if now_s - began_s >= _REPEATS_WITHIN_S:
                left_out = max(0, count - _REPEATS)
                began_s, count = now_s, 0
            self._seen[wording] = (began_s, count + 1)
            if len(self._seen) > _KEPT:
                del self._seen[next(iter(self._seen))]  # the one that was heard longest ago
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} more like it before)"
            record.args = None
        return count < _REPEATS


def set_up(level: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Send everything at `level` (debug, info, warning, error) and above to stderr."""
    out = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(out)
    if _is_journal(environ.get("JOURNAL_STREAM", ""), out):
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
        handler.addFilter(Repeats())
    else:
        when = _CLOCK if out.isatty() else _DATE
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", when))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _is_journal(told: str, out: TextIO) -> bool:
    """Whether `out` is what JOURNAL_STREAM names: a service's child inherits the name with another stream."""
    if not told:
        return False
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return told == f"{status.st_dev}:{status.st_ino}"
