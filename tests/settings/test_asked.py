"""A child reads the configuration in the words of this process; what becomes of it harms nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.common import document
from trapd.config import Here
from trapd.errors import ConfigurationError, SourceUnavailable
from trapd.settings.asked import AskedSource

CHILDREN = "tests.settings.children"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document(**{"trigger.max_per_hour": 7, "filter.threads": 1})))
    return file


def told(ask: Callable[[], Any]) -> Any:
    """What comes of it, with every word of an error."""
    try:
        return ask()
    except ConfigurationError as error:
        return error.message, error.hint, error.faults


OVER: dict[str, Any] = {
    "nothing": None,
    "a change": {"trigger": {"max_per_hour": 8}},
    "a locked key": {"mqtt": {"host": "elsewhere"}},
    "faults": {"trigger": {"max_per_huor": 8}, "burst": {"frames": 0}, "mqtt": {"delivery": "recipt"}},
    "half a character": {"unit": {"name": "\ud800"}},
    "a large one": {"unit": {"groups": ["x" * 1000] * 200}},
}


@pytest.mark.parametrize("over", OVER.values(), ids=OVER)
@pytest.mark.parametrize("locked_too", [False, True])
def test_the_child_says_what_this_process_would(path: Path, over: Any, locked_too: bool) -> None:
    with AskedSource() as asked:
        assert told(lambda: asked.load(path, over, locked_too=locked_too)) == told(
            lambda: Here().load(path, over, locked_too=locked_too)
        )
        assert asked.read_storage_path(path) == Here().read_storage_path(path)


@pytest.mark.parametrize("text", ["", "unit: [", "- 1", "unit: {id: x}\nunit: {id: y}", "a: !!python/x 1"])
def test_a_file_that_cannot_be_used_is_refused_in_the_same_words(path: Path, text: str) -> None:
    path.write_text(text)
    with AskedSource() as asked:
        assert told(lambda: asked.load(path)) == told(lambda: Here().load(path))
        missing = path.with_name("none.yaml")
        assert told(lambda: asked.read_storage_path(missing)) == told(
            lambda: Here().read_storage_path(missing)
        )


def test_questions_within_one_with_go_to_one_child_and_the_next_to_another() -> None:
    asked = AskedSource(CHILDREN)
    with asked:
        first, second = asked.read_storage_path(Path("a")), asked.read_storage_path(Path("a"))
    assert first == second
    assert asked.read_storage_path(Path("a")) != first


@pytest.mark.parametrize(
    "way",
    ["ends", "is killed", "says no JSON", "says a list", "says too little", "says half", "says too much"],
)
def test_a_child_that_goes_wrong_is_told_and_the_next_one_answers(way: str) -> None:
    asked = AskedSource(CHILDREN)
    with pytest.raises(SourceUnavailable):
        asked.read_storage_path(Path(way))
    assert str(asked.read_storage_path(Path("a"))).startswith("a by")


def test_a_child_that_cannot_be_started_is_told_and_the_next_one_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = AskedSource(CHILDREN)
    with monkeypatch.context() as no_memory:
        no_memory.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(SourceUnavailable, match="cannot be started"):
            asked.read_storage_path(Path("a"))
    with pytest.raises(SourceUnavailable, match="has ended"), asked:
        asked.read_storage_path(Path("ends"))
    assert str(asked.read_storage_path(Path("a"))).startswith("a by")


def test_a_child_that_hangs_is_given_up() -> None:
    asked = AskedSource(CHILDREN, answer_s=1.0)
    began_s = time.monotonic()
    with pytest.raises(SourceUnavailable, match="no answer in 1 s"):
        asked.read_storage_path(Path("hangs"))
    assert time.monotonic() - began_s < 30


def test_no_child_is_left_not_even_a_dead_one(path: Path) -> None:
    with AskedSource() as asked:
        asked.load(path)
        child = asked._pid
    assert child is not None
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)  # -1 would ask for those of other tests, and take them away


ORPHANED = """
import sys, time
from pathlib import Path
from trapd.settings.asked import AskedSource
source = AskedSource(sys.argv[1])
with source:
    print(source._pid, flush=True)
    if sys.argv[2]:
        source.read_storage_path(Path(sys.argv[2]))
    time.sleep(600)
"""


def test_a_child_whose_daemon_is_killed_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANED, "trapd.config.child", ""],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(60)
    end_s = time.monotonic() + 60
    while _runs(child):
        assert time.monotonic() < end_s
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_signals_for_the_daemon_do_not_end_the_child() -> None:
    """A service manager sends them to the whole group."""
    source = AskedSource(CHILDREN)
    with source:
        assert source._pid is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            os.kill(source._pid, number)
        assert str(source.read_storage_path(Path("a"))) == f"a by {source._pid}"
