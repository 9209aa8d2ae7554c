"""The real store on a disk that a test makes full or faulty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Self

from tests.fakes.clock import FakeClock
from trapd.errors import StoreFull
from trapd.records import Moment, Trigger
from trapd.store import BurstFiles, ExifContext, Session, Space, Store

FULL = StoreFull("no space left", "free some")
FLOOR_BYTES = 1_000_000


class Faults:
    """Which operations fail now: add, commit, record, get, settle, put, acknowledge, begin, end, tell, count,
    disk, thumb.
    """

    def __init__(self) -> None:
        self._errors: dict[str, tuple[Exception, int]] = {}
        self.met: Counter[str] = Counter()

    def make(self, operation: str, error: Exception = FULL, *, after: int = 0) -> None:
        """From now on `operation` raises `error`, but for its next `after` calls."""
        self._errors[operation] = (error, after)

    def end(self, operation: str | None = None) -> None:
        """The disk is sound again, or `operation` alone works again."""
        if operation is None:
            self._errors.clear()
        else:
            self._errors.pop(operation, None)

    def check(self, operation: str) -> None:
        """What each operation asks first."""
        error, spared = self._errors.get(operation, (None, 0))
        if error is None:
            return
        if spared:
            self._errors[operation] = (error, spared - 1)
            return
        self.met[operation] += 1
        raise error

    def guard(
        self, part: object, method: str, operation: str, undo: Callable[[], None] | None = None
    ) -> None:
        """Let `part.method` fail as `operation`, after `undo`; else it does what it always does."""
        real = getattr(part, method)

        @wraps(real)
        def guarded(*args: Any, **options: Any) -> Any:
            try:
                self.check(operation)
            except Exception:
                if undo is not None:
                    undo()
                raise
            return real(*args, **options)

        setattr(part, method, guarded)


class FaultyStore(Store):
    """Store with `faults`, and `free_bytes`: what the disk says is free."""

    faults: Faults
    free_bytes: int

    @classmethod
    def make(cls, root: Path, unit: str, clock: FakeClock, *, max_bytes: int = 10**9) -> Self:
        """Opened, with a quota and a free-space floor of 1 MB."""
        store = cls.open(root, unit, clock=clock, max_bytes=max_bytes, min_free_bytes=FLOOR_BYTES)
        assert isinstance(store, cls)
        store.faults = Faults()
        store.free_bytes = 10**9
        store.space = Space(
            root,
            max_bytes=max_bytes,
            min_free_bytes=FLOOR_BYTES,
            files_bytes=0,
            free_bytes=store._free,
        )
        store.faults.guard(store, "write_thumb", "thumb")
        return store

    def session(self) -> Session:
        session = super().session()
        for part, methods in (
            (session.events, {"record": "record", "get": "get", "settle": "settle"}),
            (session.outbox, {"put": "put", "acknowledge": "acknowledge"}),
            (session.obeyed, {"begin": "begin", "end": "end", "tell": "tell"}),
            (session.counters, {"add": "count", "put": "count"}),
        ):
            for method, operation in methods.items():
                self.faults.guard(part, method, operation)
        return session

    def burst_files(
        self, seq: int, moment: Moment, context: ExifContext, *, trigger: Trigger, config: str
    ) -> BurstFiles:
        """As the real one promises, a refused `add` or `commit` abandons the burst."""
        files = super().burst_files(seq, moment, context, trigger=trigger, config=config)
        self.faults.guard(files, "add", "add", files.abandon)
        self.faults.guard(files, "commit", "commit", files.abandon)
        return files

    def _free(self) -> int:
        self.faults.check("disk")
        return self.free_bytes
