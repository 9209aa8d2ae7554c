"""Logging for people and for the journal."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trapd.host import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def told_the_journal(path: Path, say: Callable[[logging.Logger], None]) -> str:
    with path.open("w") as out:
        status = os.fstat(out.fileno())
        logs.set_up("info", {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, out)
        say(logging.getLogger("trapd"))
    return path.read_text()


def test_the_journal_gets_a_priority_on_every_line(tmp_path: Path) -> None:
    def say(log: logging.Logger) -> None:
        log.warning("first\nsecond")
        log.debug("not shown")

    assert told_the_journal(tmp_path / "journal", say) == "<4>trapd: first\n<4>second\n"


def test_the_journal_is_not_filled_by_one_warning(tmp_path: Path) -> None:
    def say(log: logging.Logger) -> None:
        for number in range(100):
            log.warning("camera: try %d", number)
            log.info("burst %d", number)

    lines = told_the_journal(tmp_path / "journal", say).splitlines()
    assert sum(line.startswith("<4>") for line in lines) == 5
    assert sum(line.startswith("<6>") for line in lines) == 100


def test_a_terminal_that_inherited_the_journals_name_is_none() -> None:
    out = io.StringIO()
    logs.set_up("info", {"JOURNAL_STREAM": "8:1"}, out)
    logging.getLogger("trapd").warning("seen by a person")
    assert out.getvalue().endswith("WARNING trapd: seen by a person\n")


def warning(number: int, wording: str = "camera: try %d") -> logging.LogRecord:
    return logging.LogRecord("trapd", logging.WARNING, __file__, 1, wording, (number,), None)


def test_what_was_left_out_is_counted_in_the_next_hour() -> None:
    now_s = 0.0
    repeats = logs.Repeats(lambda: now_s)
    passed = [number for number in range(60) if repeats.filter(warning(number))]
    assert passed == [0, 1, 2, 3, 4]
    assert repeats.filter(warning(1, "another: try %d"))
    now_s = 3600.0
    record = warning(60)
    assert repeats.filter(record)
    assert record.getMessage() == "camera: try 60 (and 55 more like it before)"
    again = warning(61)
    assert repeats.filter(again)
    assert again.getMessage() == "camera: try 61"


def test_as_many_wordings_as_there_may_be_are_forgotten_again() -> None:
    repeats = logs.Repeats(lambda: 0.0)
    assert all(repeats.filter(warning(1, "w" * number + " %d")) for number in range(1000))
    assert len(repeats._seen) <= 200


def test_a_person_gets_time_level_and_name() -> None:
    out = io.StringIO()
    logs.set_up("debug", {}, out)
    logging.getLogger("trapd.camera").error("no frame")
    assert out.getvalue().rstrip().endswith("ERROR   trapd.camera: no frame")
