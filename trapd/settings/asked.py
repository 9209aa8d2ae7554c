"""A Source that asks a child process: pydantic and YAML are there, and go when the child goes.

Main thread at start, Control's thread for documents from afar. Every wait is bounded; a child that hangs, or
is ended by what it was given, costs its answer and nothing else. It cannot outlive this process for long: the
socket closes, and it has nothing to write to.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from trapd.errors import ConfigurationError, Fault, SourceUnavailable
from trapd.settings.source import Loaded
from trapd.settings.values import read_plain

ANSWER_S: Final = 60.0  # half of Control's patience; on a Pi Zero that is busy an answer takes some seconds
_REAP_S: Final = 5.0
_MOST_BYTES: Final = 4_000_000
_HELD_BACK: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""They are for the daemon, and may be sent to the whole group: the child ends when its questions do."""


class AskedSource:
    """`module`: what the child runs; `answer_s`: how long it may take. Both for tests."""

    def __init__(self, module: str = "trapd.config.child", answer_s: float = ANSWER_S) -> None:
        self._command = [sys.executable, "-P", "-m", module]
        self._answer_s = answer_s
        self._pid: int | None = None
        self._link: socket.socket | None = None
        self._users = 0

    def __enter__(self) -> Self:
        """Begins the child at once: it gets ready while the caller does other things."""
        self._users += 1
        if self._link is None:
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users == 0:
            self._end()

    def load(
        self, path: Path, over: Mapping[str, object] | None = None, *, locked_too: bool = False
    ) -> Loaded:
        """As `trapd.config.load`. Raises ConfigurationError, SourceUnavailable."""
        answer = self._ask({"ask": "load", "path": str(path), "over": over, "locked_too": locked_too})
        try:
            settings, warnings = read_plain(answer["settings"]), _faults(answer["warnings"])
            return Loaded(settings, warnings, str(answer["hash"]), path)
        except (KeyError, TypeError, ValueError) as error:
            raise _failed("it said something else") from error

    def read_storage_path(self, path: Path) -> Path:
        """As `trapd.config.read_storage_path`. Raises ConfigurationError, SourceUnavailable."""
        try:
            return Path(self._ask({"ask": "storage_path", "path": str(path)})["path"])
        except (KeyError, TypeError) as error:
            raise _failed("it said something else") from error

    def _ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        with self:
            try:
                answer = self._said(json.dumps(question).encode() + b"\n")
            except SourceUnavailable:
                self._end()  # what it says next would be the answer to this
                raise
        if not isinstance(answer, dict):
            raise _failed("it said something else")
        error = answer.get("error")
        if error is not None:
            raise ConfigurationError(error["message"], _faults(error["faults"]), error["hint"])
        return answer

    def _said(self, question: bytes) -> Any:
        link = self._link
        if link is None:
            raise _failed("it has ended")
        end_s = time.monotonic() + self._answer_s
        parts: list[bytes] = []
        size = 0
        try:
            link.settimeout(self._answer_s)
            link.sendall(question)
            while not parts or not parts[-1].endswith(b"\n"):
                link.settimeout(max(0.001, end_s - time.monotonic()))
                part = link.recv(65_536)
                size += len(part)
                if not part or size > _MOST_BYTES:
                    raise _failed("it has ended" if not part else "it said too much")
                parts.append(part)
            return json.loads(b"".join(parts))
        except TimeoutError:
            raise _failed(f"it gave no answer in {self._answer_s:.0f} s") from None
        except (OSError, ValueError) as error:
            raise _failed(str(error)) from None

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._pid = os.posix_spawn(
                    sys.executable,
                    self._command,
                    _environment(),
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                        (os.POSIX_SPAWN_DUP2, 2, 1),
                    ],
                    setsigmask=_HELD_BACK,
                )
            except OSError as error:
                ours.close()
                raise _failed(f"it cannot be started: {error.strerror}") from None
        self._link = ours

    def _end(self) -> None:
        link, self._link = self._link, None
        pid, self._pid = self._pid, None
        if link is not None:
            link.close()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        end_s = time.monotonic() + _REAP_S
        with suppress(ChildProcessError):
            while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < end_s:
                time.sleep(0.001)


def _failed(why: str) -> SourceUnavailable:
    message = f"the process that reads the configuration failed: {why}"
    return SourceUnavailable(message, "it needs some 40 MB of memory for a moment")


def _faults(found: list[list[str]]) -> tuple[Fault, ...]:
    return tuple(Fault(*fault) for fault in found)


def _environment() -> dict[str, str]:
    """The child finds the package that is running now, wherever it was started."""
    package = str(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": package + (os.pathsep + others if others else "")}
