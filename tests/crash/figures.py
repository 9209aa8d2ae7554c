"""Figures of a run, for its report: what was counted, told once at the end of pytest's output."""

from __future__ import annotations

import os

import pytest

PROVE = os.environ.get("TRAPD_PROVE") == "1"
LINES: list[str] = []


def tell(line: str) -> None:
    """Add one line to the report."""
    LINES.append(line)


def print_all(to: pytest.TerminalReporter) -> None:
    """Once, whichever suite is asked first."""
    if LINES:
        to.section("crash figures")
        for line in LINES:
            to.write_line(line)
        LINES.clear()
