"""A network of its own: a unit and a broker with a router between them that can drop everything.

Three network namespaces, joined by two cables, that nobody outside sees. Each lives as long as a process that
waits in it, and that one ends with us, however we end. Made as root; skipped elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import until

BROKER = "10.77.2.2"
_UNIT = "10.77.1.2"
_PLACES = ("unit", "router", "broker")
_CLONE_NEWNET = 0x40000000
_HERE = Path("/proc/thread-self/ns/net")


class Network:
    """`with network.at("unit")`: what is started or connected meanwhile lives there."""

    def __init__(self) -> None:
        self._keepers = {
            place: subprocess.Popen(
                ["unshare", "-n", "cat"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for place in _PLACES
        }
        try:
            self._make()
        except (OSError, AssertionError, subprocess.CalledProcessError):
            self.close()
            raise

    def _make(self) -> None:
        for place in _PLACES:
            until(lambda: self._is_there(place), f"a namespace for the {place}", within_s=60)  # noqa: B023 - used at once
            with self.at(place):
                _ip("link", "set", "lo", "up")
        router = str(self._keepers["router"].pid)
        for number, place in ((1, "unit"), (2, "broker")):
            with self.at(place):
                _ip("link", "add", "up0", "type", "veth", "peer", f"to{number}", "netns", router)
            for where, device, last in ((place, "up0", 2), ("router", f"to{number}", 1)):
                with self.at(where):
                    _ip("addr", "add", f"10.77.{number}.{last}/24", "dev", device)
                    _ip("link", "set", device, "up")
            with self.at(place):
                _ip("route", "add", "default", "via", f"10.77.{number}.1")
        with self.at("router"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _is_there(self, place: str) -> bool:
        return self._namespace(place).readlink() != _HERE.readlink()

    def _namespace(self, place: str) -> Path:
        return Path(f"/proc/{self._keepers[place].pid}/ns/net")

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """This thread, and the processes that it starts, are there; sockets stay where they were made."""
        with _HERE.open() as home, self._namespace(place).open() as there:
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
        with self.at("router"):
            for address in (BROKER, _UNIT):
                _ip("route", verb, "blackhole", f"{address}/32")

    def close(self) -> None:
        for keeper in self._keepers.values():
            keeper.communicate()


@pytest.fixture
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("a network of its own needs root and the programs ip and unshare")
    try:
        made = Network()
    except (OSError, AssertionError, subprocess.CalledProcessError):
        pytest.skip("this machine does not let a test make network namespaces")
    yield made
    made.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
