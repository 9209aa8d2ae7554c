"""What the service manager hears."""

from __future__ import annotations

import socket
from pathlib import Path

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
        manager.extend_start(120)
        assert ear.recv(1000) == b"EXTEND_TIMEOUT_USEC=120000000"
        manager.stopping()
        assert ear.recv(1000).startswith(b"STOPPING=1")


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).ready("armed")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
