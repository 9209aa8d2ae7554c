"""`trapd run`: what a signal does to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

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
    return subprocess.run(
        [sys.executable, "-c", _AT_THE_WORST_MOMENT, way],
        check=True,
        capture_output=True,
        text=True,
        timeout=within_s,
    ).stdout


def test_a_signal_is_heard_whatever_the_main_thread_is_doing() -> None:
    assert at_the_worst_moment("as it is", 60) == "ready\nheard\n"


def test_an_event_that_is_set_in_the_handler_is_found() -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        at_the_worst_moment("set in the handler", 5)
    assert caught.value.stdout == b"ready\n"
