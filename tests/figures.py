"""Figures of a run, for its report: what was counted, told once at the end of pytest's output."""

from __future__ import annotations

import os

PROVE = os.environ.get("TRAPD_PROVE") == "1"
LINES: list[str] = []


def tell(line: str) -> None:
    """Add one line to the report."""
    LINES.append(line)
