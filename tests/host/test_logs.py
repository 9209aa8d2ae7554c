"""Logging for people and for the journal."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from trapd.host import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_the_journal_gets_a_priority_on_every_line() -> None:
    out = io.StringIO()
    logs.set_up("info", {"JOURNAL_STREAM": "8:1"}, out)
    logging.getLogger("trapd").warning("first\nsecond")
    logging.getLogger("trapd").debug("not shown")
    assert out.getvalue() == "<4>trapd: first\n<4>second\n"


def test_a_person_gets_time_level_and_name() -> None:
    out = io.StringIO()
    logs.set_up("debug", {}, out)
    logging.getLogger("trapd.camera").error("no frame")
    assert out.getvalue().rstrip().endswith("ERROR   trapd.camera: no frame")
