"""A unit for `trapd doctor` to look at, and a broker that answers its visitor."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from tests.fakes.camera import jpeg
from trapd.cli.verbs import cli

PARTS = [
    "storage", "disk", "clock", "libraries", "numpy", "permissions", "filter", "camera", "sensor", "reboot",
    "credential", "broker",
]  # fmt: skip


class Broker:
    """Answers each CONNECT with `reason`, and notes what else it was told until the end of the line."""

    def __init__(self) -> None:
        self.reason = 0x00
        self.told: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Broker:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                with line, suppress(OSError):
                    line.settimeout(20)
                    self.told.append(line.recv(65536))
                    line.sendall(b"\x20\x03\x00" + bytes((self.reason, 0)))
                    while more := line.recv(65536):
                        self.told.append(more)


class Unit:
    """A configuration with a replay camera, a timer and no filter."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.photographs = folder / "photographs"
        self.photographs.mkdir()
        (self.photographs / "1.jpg").write_bytes(jpeg(640, 360))
        self.document: dict[str, Any] = {
            "unit": {"id": "ridge-07"},
            "storage": {"path": str(self.store), "min_free_bytes": 1_000_000},
            "sensor": {"backend": "timer"},
            "camera": {"backend": "replay", "path": str(self.photographs)},
            "filter": {"backend": "none"},
            "mqtt": {"host": "127.0.0.1", "port": port, "tls": {"enabled": False}},
        }

    def change(self, section: str, **keys: Any) -> None:
        self.document[section] = self.document.get(section, {}) | keys

    def doctor(self, *options: str) -> Result:
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return CliRunner(catch_exceptions=False).invoke(cli, ["doctor", "--config", str(path), *options])

    def findings(self) -> dict[str, dict[str, Any]]:
        """By name, but for what the configuration itself is warned of."""
        found = json.loads(self.doctor("--json").output)["findings"]
        return {finding["name"]: finding for finding in found if finding["name"] != "configuration"}

    def fault(self, part: str) -> dict[str, Any]:
        """The one finding that is not well, which is that of `part`."""
        assert self.doctor("--json").exit_code == 1
        (fault,) = [finding for finding in self.findings().values() if not finding["ok"]]
        assert fault["name"] == part
        return fault
