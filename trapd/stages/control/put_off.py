"""A configuration that has to wait: another is on trial, or the link is not proved yet. Control's thread.

The newest one only, and through restarts: a trial ends with one, and not every document lies retained at the
broker. What is larger than any configuration waits in memory.
"""

from __future__ import annotations

import base64
import logging

from trapd.ports import Received
from trapd.store import Session
from trapd.wire.inbound import MOST_BYTES

log = logging.getLogger("trapd.control")

_KEY = "desired_later"


class PutOff:
    """`message`: what waits; None for nothing."""

    def __init__(self) -> None:
        self.message: Received | None = None
        self._is_kept = False

    def begin(self, session: Session, topic: str) -> None:
        """What an earlier process was told, of `config/desired` under `topic`."""
        if (text := session.meta.get(_KEY)) is None:
            return
        self._is_kept = True
        try:
            self.message = Received(topic, base64.b64decode(text), retained=True)  # for it may come again
        except ValueError as error:
            log.warning("a configuration that waited is not known any more: %s", error)

    def keep(self, session: Session, message: Received) -> None:
        """In the place of what waited. Raises StoreFull."""
        if len(message.payload) <= MOST_BYTES:
            session.meta.put(_KEY, base64.b64encode(message.payload).decode("ascii"))
            self._is_kept = True
        else:
            self.forget(session)
        self.message = message

    def forget(self, session: Session) -> None:
        """Nothing waits any more. Raises StoreFull."""
        self.message = None
        if self._is_kept:
            session.meta.put_or_forget(_KEY, None)
            self._is_kept = False
