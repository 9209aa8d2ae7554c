"""Talking to the service manager (sd_notify(3)): starting, READY, STATUS, WATCHDOG, STOPPING. Main thread.

Does nothing where nobody listens: trapd runs the same without systemd.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping

_STARTING_EVERY_S = 1.0
_STARTING_MORE_S = 120


class ServiceManager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._started_s = -_STARTING_EVERY_S
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Start-up has ended, well or in alert."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog; only on observed progress."""
        self._send("WATCHDOG=1")

    def starting(self) -> None:
        """The store is being opened, and that goes on: called at every step, heard once a second.

        Moves the start time-out to 120 s from now, and feeds the watchdog, which counts where the store is
        opened anew.
        """
        now_s = time.monotonic()
        if now_s - self._started_s >= _STARTING_EVERY_S:
            self._started_s = now_s
            self._send(f"EXTEND_TIMEOUT_USEC={_STARTING_MORE_S * 1_000_000}\nWATCHDOG=1")

    def stopping(self, *, again: bool = False) -> None:
        """An orderly stop has begun.

        `again`: this process begins anew afterwards. To the manager that is no stop: it would wait for an end
        that does not come, and then kill.
        """
        self._send("STATUS=beginning anew" if again else "STOPPING=1\nSTATUS=stopping")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A manager that went away is no reason to end: the watchdog would end us if it still mattered.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.settimeout(1.0)
            peer.sendto(text.encode(), self._address)
