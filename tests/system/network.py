"""A network of its own: a unit and a broker with a router between them that can drop everything.

Three network namespaces, joined by two cables, that nobody outside sees. Made as root; skipped elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BROKER = "10.77.2.2"
_UNIT = "10.77.1.2"
_PLACES = ("unit", "router", "broker")
_CLONE_NEWNET = 0x40000000
_HERE = Path("/proc/thread-self/ns/net")
_NAMED = Path("/run/netns")


class Network:
    """`with network.at("unit")`: what is started or connected meanwhile lives there."""

    def __init__(self) -> None:
        self._names = {place: f"trapd-{os.getpid()}-{place}" for place in _PLACES}
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    def _make(self) -> None:
        for name in self._names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for number, place in ((1, "unit"), (2, "broker")):
            end, router = self._names[place], self._names["router"]
            _ip("-n", end, "link", "add", "up0", "type", "veth", "peer", f"to{number}", "netns", router)
            for name, device, last in ((end, "up0", 2), (router, f"to{number}", 1)):
                _ip("-n", name, "addr", "add", f"10.77.{number}.{last}/24", "dev", device)
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", end, "route", "add", "default", "via", f"10.77.{number}.1")
        with self.at("router"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """This thread, and the processes that it starts, are there; sockets stay where they were made."""
        with _HERE.open() as home, (_NAMED / self._names[place]).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def drop(self) -> None:
        """From now on the router throws every packet away, and tells nobody."""
        self._blackholes("add")

    def mend(self) -> None:
        """It routes again."""
        self._blackholes("del")

    def _blackholes(self, verb: str) -> None:
        for address in (BROKER, _UNIT):
            _ip("-n", self._names["router"], "route", verb, "blackhole", f"{address}/32")

    def close(self) -> None:
        for name in self._names.values():
            with suppress(subprocess.CalledProcessError):  # one that was never made
                _ip("netns", "del", name)


@pytest.fixture
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network of its own needs root and the program ip")
    try:
        made = Network()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine does not let a test make network namespaces")
    yield made
    made.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
