"""`trapd run`: what a signal does to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.system.daemon import until
from trapd.cli import daemon as run_module

# A signal that comes while the main thread is inside Event.wait, and there holds the event's lock.
_AT_THE_WORST_MOMENT = """
import os, signal, sys, time
from tests.cli.test_run_verb import WAYS

stop = WAYS[sys.argv[1]]()
print("ready", flush=True)
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # where handlers in Python run
        pass
print("heard" if stop.wait(30) else "not heard")
"""


def set_in_the_handler() -> threading.Event:
    """The obvious way, which waits for its own lock for ever."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    return stop


WAYS: dict[str, Callable[[], threading.Event]] = {
    "as it is": run_module.stop_on_signal,
    "set in the handler": set_in_the_handler,
}


def at_the_worst_moment(way: str, within_s: float) -> str:
    """What it says within so long, from the moment it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", _AT_THE_WORST_MOMENT, way], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            said, _ = process.communicate(timeout=within_s)
        finally:
            process.kill()
    return said


def test_a_signal_is_heard_whatever_the_main_thread_is_doing() -> None:
    assert at_the_worst_moment("as it is", 60) == "heard\n"


def test_an_event_that_is_set_in_the_handler_is_found() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        at_the_worst_moment("set in the handler", 5)


def the_daemon(folder: Path) -> subprocess.Popen[str]:
    """One that is up; what it says goes on at its stderr."""
    (folder / "photographs").mkdir()
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "unit": {"id": "ridge-07"},
                "storage": {"path": str(folder / "store"), "min_free_bytes": 1_000_000},
                "sensor": {"backend": "timer", "every_s": 3600},
                "camera": {"backend": "replay", "path": str(folder / "photographs")},
                "mqtt": {"host": "127.0.0.1", "port": 1, "tls": {"enabled": False}},
            }
        )
    )
    command = [sys.executable, "-m", "trapd", "run", "--config", str(path)]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if "is up" in line:
            return daemon
    raise AssertionError(f"it ended with {daemon.wait()}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds")
def children_of(process: int) -> list[str]:
    threads = Path(f"/proc/{process}/task").iterdir()
    return [child for thread in threads for child in (thread / "children").read_text().split()]


def test_the_daemon_holds_nothing_that_checks_a_configuration_and_has_no_child(tmp_path: Path) -> None:
    """It asked a child, which is gone when it has answered; and it ends in order when it is told to."""
    with the_daemon(tmp_path) as daemon:
        until(lambda: not children_of(daemon.pid), "its children gone")
        held = Path(f"/proc/{daemon.pid}/maps").read_text()
        daemon.terminate()
        daemon.communicate()
    assert "numpy" in held
    assert "pydantic" not in held
    assert "yaml" not in held
    assert daemon.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--config", "NONE"], 78),
        (["--config=NONE"], 78),
        (["--confg"], 2),
        (["--config"], 2),
        (["--help"], 0),
    ],
)
def test_a_command_line_ends_as_it_would_for_every_verb(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    given = [argument.replace("NONE", str(tmp_path / "none.yaml")) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "trapd", "run", *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    if code == 78:
        assert done.stderr.splitlines()[1:] == [f"  {tmp_path / 'none.yaml'} does not exist (check the path)"]
