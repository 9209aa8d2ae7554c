"""`trapd run`: the daemon in the foreground, for a terminal or the service manager."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from types import FrameType

import click

from trapd.cli.options import config_option
from trapd.errors import StageStuck


@click.command()
@config_option
def run(config: str | None) -> None:
    """The daemon: sense, capture, screen, deliver.

    Ends with 0 on SIGTERM or Ctrl-C, 1 when a part failed (the service manager starts it again, and
    start-up is recovery), 78 when the local configuration cannot be used.
    """
    stop = _stop_on_signal()
    from trapd import app
    from trapd.config import find, load
    from trapd.host import logs
    from trapd.host.notify import ServiceManager

    loaded = load(find(config))
    logs.set_up(loaded.settings.log_level, os.environ)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        app.run(loaded, stop=stop, manager=ServiceManager(os.environ))
    except StageStuck as error:
        # Its thread cannot be joined: leave without it, the next start recovers.
        click.echo(f"trapd: {error}", err=True)
        _leave_now()


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()

    def told(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def _leave_now() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)
