"""The configuration read and checked in a process of its own, so that the daemon never holds what it takes.

Run as a program by `trapd.settings.asked`: descriptor 0 is a socket; each line that comes is a question, each
line that goes its answer, until the other side closes. It reads files and writes none. Whatever hangs it, the
kernel ends it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from trapd.config.load import load, read_storage_path
from trapd.errors import ConfigurationError
from trapd.settings.values import plain

_MOST_S: Final = 300


def answered(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one question; a ConfigurationError is an answer too."""
    try:
        return _ANSWERS[question["ask"]](question)
    except ConfigurationError as error:
        return {"error": {"message": error.message, "hint": error.hint, "faults": _faults(error.faults)}}


def _storage_path(question: Mapping[str, Any]) -> dict[str, Any]:
    return {"path": str(read_storage_path(Path(question["path"])))}


def _load(question: Mapping[str, Any]) -> dict[str, Any]:
    loaded = load(Path(question["path"]), question["over"], locked_too=question["locked_too"])
    return {
        "settings": plain(loaded.settings),
        "warnings": _faults(loaded.warnings),
        "hash": loaded.hash,
    }


_ANSWERS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "storage_path": _storage_path,
    "load": _load,
}


def _faults(faults: tuple[Any, ...]) -> list[list[str]]:
    return [[fault.path, fault.message, fault.hint] for fault in faults]


def main() -> None:
    """Answer until the other side closes."""
    signal.alarm(_MOST_S)
    with socket.socket(fileno=0) as link, link.makefile("rb") as questions:
        for question in questions:
            link.sendall(json.dumps(answered(json.loads(question))).encode() + b"\n")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
