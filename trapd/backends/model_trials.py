"""Which models have been loaded in a child process, and with what: only those are loaded in this one.

A sound file can end the process that loads it once the runtime has been upgraded, or on another kind of
processor. So a trial counts for one file, and for the runtime, the machine and the threads it was made with;
where any of them is another, it is made again. The classifier asks, on its thread. The memory is a small file
in storage.path; one that is lost, damaged or cannot be written costs a trial at each start, and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
from pathlib import Path
from typing import Final

import numpy as np

from trapd.backends.tflite.interpreter import RUNTIMES

log = logging.getLogger("trapd.filter")

_MOST: Final = 20
_LARGEST_BYTES: Final = 100_000
_OF_A_PROCESSOR: Final = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant")
_PROCESSORS: Final = Path("/proc/cpuinfo")


class Trials:
    """The memory in `file`. `runtime` None: the first that is installed."""

    def __init__(self, file: Path, *, threads: int, runtime: str | None = None) -> None:
        self._file = file
        self._threads = threads
        self._runtime = runtime

    def passed(self, sha256: str) -> bool:
        """Whether this file was loaded in a child, with all that it would be loaded with now."""
        return self._read().get(sha256) == self._circumstances()

    def note(self, sha256: str) -> None:
        """It was, just now."""
        known = self._read()
        known.pop(sha256, None)
        kept = [*known.items()][-(_MOST - 1) :]
        document = json.dumps({**dict(kept), sha256: self._circumstances()}, indent=1)
        part = self._file.with_name(f".{self._file.name}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(document + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
        except OSError as error:
            log.info("the model is tried in a child again at the next start: %s", error)

    def _read(self) -> dict[str, str]:
        try:
            with self._file.open("rb") as file:
                document = json.loads(file.read(_LARGEST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(document, dict):
            return {}
        return {name: value for name, value in document.items() if isinstance(value, str)}

    def _circumstances(self) -> str:
        parts = (runtime_installed(self._runtime), f"numpy {np.__version__}", processor())
        return ", ".join((*parts, f"{self._threads} threads"))


def runtime_installed(name: str | None) -> str:
    """The runtime that would load a model, its version and the size of its libraries.

    Its package is imported, the libraries in it are not: they could be what ends the process.
    """
    for candidate in (name,) if name else RUNTIMES:
        try:
            package = importlib.import_module(RUNTIMES[candidate].partition(".")[0])
        except ImportError:
            continue
        libraries = Path(str(package.__file__)).parent.glob("*.so")
        size = sum(file.stat().st_size for file in libraries)
        return f"{candidate} {getattr(package, '__version__', '')} of {size} bytes"
    return "no runtime"


def processor(described: Path = _PROCESSORS) -> str:
    """The machine's kind, and a digest of what its processors are and can do."""
    try:
        lines = described.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    kinds = sorted({line for line in lines if line.partition(":")[0].strip() in _OF_A_PROCESSOR})
    digest = hashlib.sha256("\n".join(kinds).encode()).hexdigest()
    return f"{os.uname().machine} {digest[:12]}"
