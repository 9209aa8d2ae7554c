"""The sync of commits that did without, on a thread of its own: their writer goes on meanwhile.

One object per session, used by the session's thread. What was committed survives a kill at once, and a power
cut once `ended` says so. While a sync lasts nobody commits: where it fails, that is known before anything is
written behind what it has lost.
"""

from __future__ import annotations

import os
import threading

from trapd.errors import StoreError
from trapd.store.sqlite.log import Log

_CLOSE_WITHIN_S = 2.0


class LateSync:
    """`log`: that of the session's database."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._news = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._failed: StoreError | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        self._handle: int | None = None

    def begin(self) -> None:
        """Sync all that this process has committed so far."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="late-sync", daemon=True)
            self._thread.start()
        with self._news:
            self._begun += 1
            self._news.notify_all()

    def ended(self) -> bool:
        """Whether all that was begun has ended. Raises what the disk said against it, once."""
        with self._news:
            failed, self._failed = self._failed, None
            if failed is not None:
                raise failed
            return self._ended == self._begun

    def wait(self, timeout_s: float) -> bool:
        """Wait for what was begun to end, well or badly; False where it takes longer than `timeout_s`."""
        with self._news:
            return self._news.wait_for(lambda: self._ended == self._begun, timeout_s)

    def close(self) -> None:
        """What was begun still ends, within 2 s; may be called twice."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closing or self._begun > self._ended)
                begun = self._begun
            if begun == self._ended:
                break
            failed = None
            try:
                if self._handle is None:
                    self._handle = self._log.open()
                self._log.sync(self._handle)
            except StoreError as error:
                failed = error
            with self._news:
                self._ended = begun
                self._failed = failed or self._failed
                self._news.notify_all()
        if self._handle is not None:
            os.close(self._handle)
