"""The figures of the power cuts in pytest's report."""

from __future__ import annotations

import pytest

from tests.crash import figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    figures.print_all(terminalreporter)
