"""What the service manager hears."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from trapd.host.notify import ServiceManager


def test_it_hears_ready_status_and_watchdog(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(5)
        manager = ServiceManager({"NOTIFY_SOCKET": str(path)})
        manager.ready("armed")
        assert ear.recv(1000) == b"READY=1\nSTATUS=armed"
        manager.alive()
        assert ear.recv(1000) == b"WATCHDOG=1"
        manager.stopping()
        assert ear.recv(1000).startswith(b"STOPPING=1")
        manager.stopping(again=True)
        assert ear.recv(1000) == b"STATUS=beginning anew"


def test_a_start_that_goes_on_is_heard_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the store tells it: each message costs the start a little."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(5)
        manager = ServiceManager({"NOTIFY_SOCKET": str(path)})
        now_s = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        for tenth in range(35):
            now_s = tenth / 10
            manager.starting()
        manager.ready("armed")
        for _ in range(4):
            assert ear.recv(1000) == b"EXTEND_TIMEOUT_USEC=120000000\nWATCHDOG=1"
        assert ear.recv(1000) == b"READY=1\nSTATUS=armed"


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).ready("armed")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
