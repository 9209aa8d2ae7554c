"""The daemon in the foreground, for a terminal or the service manager. Main thread.

A child process reads and checks the configuration, while what needs no configuration is imported here; what
it takes to check one is never in this process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from trapd.errors import SourceUnavailable, StageStuck

_ENDING = (signal.SIGTERM, signal.SIGINT)
_LEFT_BEHIND = ("camera-call", "trapd-screen")  # names of threads
_received: list[int] = []


def run(config: str | None) -> None:
    """Until SIGTERM or SIGINT. Raises what ended it."""
    from trapd.host.memory import keep_small

    keep_small()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's: a thread for each processor, never used
    _show_stacks_when_asked()
    stop = stop_on_signal()
    try:
        again = _until_told(config, stop)
    except SourceUnavailable:
        if not _told_to_end():
            raise
        return
    if again and not _told_to_end():
        _begin_again()
    leave_if_left_behind()


def _until_told(config: str | None, stop: threading.Event) -> bool:
    """True where the process is to begin anew."""
    from trapd.settings import find
    from trapd.settings.asked import AskedSource

    path = find(config)
    with AskedSource() as source:
        gc.disable()
        from trapd import app
        from trapd.host import logs
        from trapd.host.notify import ServiceManager
        from trapd.remote import start as starting

        gc.freeze()  # what is imported is never garbage: it is not looked through, now or later
        gc.enable()
        # A trial's start is counted before anything of its configuration is used.
        start = starting.begin(path, source)
    logs.set_up(start.loaded.settings.log_level, os.environ)
    manager = ServiceManager(os.environ)
    try:
        again = app.run(start, stop=stop, manager=manager)
    except Exception as error:
        if not starting.took_back(start, error):
            _leave_if_stuck(error)
            raise
        _say(error)
        again = True
    if again:
        manager.alive()
    return again


def _show_stacks_when_asked() -> None:
    """All threads' stacks on stderr: at SIGUSR1, and when the process dies, by the watchdog's SIGABRT too."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def _begin_again() -> None:
    """The same command in the same process: the service manager sees no end, and without one it works too."""
    _flush()
    # Signals are held back (see _told_to_end) until the new interpreter has its handlers.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set, from a thread of its own.

    A handler in Python runs on the main thread, between any two of its steps: also inside Event.wait, while
    that holds the event's lock. Setting the event there would wait for itself, for ever. So the interpreter
    only writes the signal's number into a pipe, whatever the main thread is doing, and another thread reads.
    """
    stop = threading.Event()
    numbers, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written)
    for number in _ENDING:
        signal.signal(number, _noted)

    def listen() -> None:
        os.read(numbers, 1)
        stop.set()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    # The process that began anew as this one has held them back.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    return stop


def _noted(number: int, _frame: FrameType | None) -> None:
    """Its number is in the pipe already; here it is noted for who wants to begin anew."""
    _received.append(number)


def _told_to_end() -> bool:
    """Whether a signal came while the stages ended for another reason. From now on signals wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    return bool(_received)


def leave_if_left_behind(status: int = 0) -> None:
    """A call into the camera's library that hangs, or a model that is still being opened (ADR 25): all is in
    order, but what the library does when the process ends might wait for it.
    """
    if any(thread.name in _LEFT_BEHIND for thread in threading.enumerate()):
        _leave(status)


def _leave_if_stuck(error: Exception) -> None:
    """A thread that cannot be joined: leave without it, the next start recovers."""
    if not isinstance(error, StageStuck):
        return
    _say(error)
    _leave(1)


def _leave(status: int) -> NoReturn:
    _flush()
    os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _say(error: Exception) -> None:
    print(f"trapd: {error}", file=sys.stderr)
