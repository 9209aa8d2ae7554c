"""Logging: for a person on a terminal, for the journal otherwise. Set up once, by the main thread."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TextIO

_JOURNAL_PRIORITY = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))


class _JournalFormatter(logging.Formatter):
    """sd-daemon(3) prefixes: the journal adds the time and takes the priority from `<n>`."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((n for level, n in _JOURNAL_PRIORITY if record.levelno >= level), 7)
        # One record, one entry: the journal cuts at line breaks and each line needs its own priority.
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up(level: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Send everything at `level` (debug, info, warning, error) and above to stderr."""
    out = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(out)
    if environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
