"""Work shared out among processes, and a place for files that need not outlive it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

PROCESSES = max(1, min(4, os.cpu_count() or 1))
_SECONDS = 7200
_MEMORY = Path("/dev/shm")

Result = TypeVar("Result")


def in_processes(work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    """`work(*job)` for each job, in other processes; results in order. What one raises, this raises."""
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(work, *job) for job in jobs]
        for future in waiting:
            yield future.result(timeout=_SECONDS)


def scratch_place() -> Path | None:
    """Memory, where syncs cost nothing; None (the usual place) where there is none."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None
