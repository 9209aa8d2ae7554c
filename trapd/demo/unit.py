"""The demo's unit: the real daemon as a child process, on `run`'s defaults but for what the demo must set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from trapd.errors import Unavailable

UNIT_ID = "demo-unit"
TOPIC = f"trapd/v1/{UNIT_ID}"
_STOP_S = 30.0  # the daemon's own limit is 8 s; on a slow machine its end takes a moment too
_LOG_LINES = 15

# A daemon whose demo was killed would go on firing for ever: on Linux the kernel ends it with its parent.
# The setting outlasts the exec, so what runs is the plain command line.
_END_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Unit:
    """One storage folder and configuration, and the daemon that runs on them."""

    def __init__(self, folder: Path, *, photographs: Path, port: int) -> None:
        """`folder` holds the unit's files; `photographs` is what its camera sees; `port` is its broker's."""
        self.root = folder / "unit"
        self._config = folder / "config.yaml"
        self._log = folder / "unit.log"
        self._photographs = photographs
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, every_s: float) -> None:
        """Write the configuration and start the daemon, which fires every `every_s` seconds."""
        self._config.write_text(yaml.safe_dump(self.settings(every_s), sort_keys=False), "utf-8")
        command = [sys.executable, "-m", "trapd", "run", "--config", str(self._config)]
        if sys.platform == "linux":
            command[1:1] = ["-c", _END_WITH_PARENT]
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def settings(self, every_s: float) -> dict[str, Any]:
        """What is not `run`'s default: unit id, paths, timer, replay camera, broker and TLS."""
        return {
            "unit": {"id": UNIT_ID},
            "storage": {"path": str(self.root)},
            "sensor": {"backend": "timer", "every_s": every_s},
            "camera": {"backend": "replay", "path": str(self._photographs)},
            "mqtt": {"host": "127.0.0.1", "port": self._port, "tls": {"enabled": False}},
        }

    def check(self) -> None:
        """Raises Unavailable when the daemon has ended by itself, with the last lines of its log."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise Unavailable(f"the unit's process ended with {code}; its last lines:\n{self.last_lines()}")

    def stop(self) -> None:
        """SIGTERM, and wait. Raises Unavailable when the daemon does not stop cleanly in time."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Unavailable(
                f"the unit did not stop within {_STOP_S:.0f} s; its last lines:\n{self.last_lines()}"
            ) from None
        if code != 0:
            raise Unavailable(f"the unit stopped with {code}; its last lines:\n{self.last_lines()}")

    def kill(self) -> None:
        """End the daemon whatever it does; for the demo's own end, may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def last_lines(self) -> str:
        """The end of the daemon's log."""
        lines = self._log.read_text("utf-8", errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])
