"""One attempt to make a connection, on a thread of its own: names, TCP and TLS block as long as they like.

The uplink begins it; the link's owner asks for what became of it. Knows nothing of MQTT.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from trapd.errors import LinkUnavailable
from trapd.ports import LinkEvent, Lost, Received

Made = TypeVar("Made")


class Attempt(Generic[Made]):
    """`make` is called on the attempt's thread. What comes after the owner has gone, `throw_away` gets.

    A resolver may have no time-out: after `within_s` the attempt counts as failed, whatever its thread does.
    """

    def __init__(
        self, make: Callable[[], Made], throw_away: Callable[[Made], None], *, within_s: float
    ) -> None:
        self._make = make
        self._throw_away = throw_away
        self._over_at_s = time.monotonic() + within_s
        self._found: queue.SimpleQueue[Made | Exception] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def result(self, timeout_s: float) -> Made | Exception | None:
        """What was made, or why nothing was; None while that is not known. Each answer is given once."""
        try:
            return self._found.get(timeout=timeout_s) if timeout_s > 0 else self._found.get_nowait()
        except queue.Empty:
            late = time.monotonic() > self._over_at_s and not self._abandoned.is_set()
            return TimeoutError() if late else None

    def abandon(self) -> None:
        """Nobody waits any more. Ask for the result once after this: it may have come just before."""
        self._abandoned.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its thread, at most `timeout_s`."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._found.put(self._make())
        except Exception as error:  # a thread has no caller: whatever it was, the attempt has failed
            self._found.put(error)
        if self._abandoned.is_set():
            # The owner may have come too early to see it; whoever takes it ends it.
            with contextlib.suppress(queue.Empty):
                left = self._found.get_nowait()
                if not isinstance(left, Exception):
                    self._throw_away(left)


class NoLink:
    """A connection that was never tried."""

    def __init__(self, reason: str) -> None:
        self._lost: Lost | None = Lost(reason)

    def next(self, timeout_s: float) -> LinkEvent | None:  # noqa: ARG002 - what it has, it has at once
        """The end of it, once."""
        lost, self._lost = self._lost, None
        return lost

    def publish(
        self,
        topic: str,  # noqa: ARG002 - it sends nothing
        payload: bytes,  # noqa: ARG002 - as above
        *,
        retain: bool,  # noqa: ARG002 - as above
        correlation: bytes | None = None,  # noqa: ARG002 - as above
    ) -> int:
        """Raises LinkUnavailable."""
        raise LinkUnavailable("the link is not connected")

    def acknowledge(self, message: Received) -> None:
        """Nothing has come."""

    def flush(self) -> None:
        """Nothing was handed over."""

    def subscribe(
        self,
        filters: tuple[str, ...],  # noqa: ARG002 - it asks nobody
        *,
        live: Collection[str] = (),  # noqa: ARG002 - as above
    ) -> None:
        """Raises LinkUnavailable."""
        raise LinkUnavailable("the link is not connected")

    def close(self) -> None:
        """Nothing is open."""
