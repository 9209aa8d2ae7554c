"""A message that ends the process must not end every process. Whoever looks at messages, on its thread.

What is not acknowledged comes again, and what is retained comes with each connection. So what is looked at
is noted before, by a commit that does not sync: that outlives a kill, and a power cut is no message's doing.
What was not looked at to its end when a process ended counts against its message; after the second time
nobody looks at it any more. Another version of trapd does.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress

from trapd import __version__
from trapd.errors import StoreError
from trapd.ports import Received
from trapd.store import Session

log = logging.getLogger("trapd.control")

_MOST_ENDED = 2
_KNOWN = 16

ENDS_PROCESS = f"it has ended the process {_MOST_ENDED} times, and is not looked at any more"


def name_of(message: Received) -> str:
    """What a message is known by, whenever it comes."""
    return hashlib.sha256(
        message.topic.encode(errors="backslashreplace") + b"\0" + message.payload
    ).hexdigest()[:24]


def delivery_of(message: Received) -> str | None:
    """What this one delivery of it is known by, when the broker gives it again; None: it does not."""
    return None if message.number is None else f"{message.number}:{name_of(message)}"


class Looking:
    """`where`: each thread that looks has a name of its own."""

    def __init__(self, where: str) -> None:
        self._key = f"looking_{where}"
        self._ended: dict[str, int] | None = None

    def begin(self, session: Session, message: Received) -> bool:
        """Whether it may be looked at; then `end` follows. Raises StoreFull: nobody looks unnoted."""
        ended = self._ended = self._earlier(session) if self._ended is None else self._ended
        name = name_of(message)
        if ended.get(name, 0) >= _MOST_ENDED:
            return False
        self._note(session, name)
        return True

    def end(self, session: Session) -> None:
        """It was looked at."""
        self._note(session, "")

    def failed(self, session: Session) -> None:
        """It is the disk that failed. Does not raise."""
        with suppress(StoreError):
            self._note(session, "")

    def _earlier(self, session: Session) -> dict[str, int]:
        """How many processes each message has ended. Damaged, or another trapd's: none."""
        try:
            found = json.loads(session.meta.get(self._key) or "{}")
            if found.get("version") != __version__:
                return {}
            ended = {str(name): int(count) for name, count in found["ended"].items()}
            if name := str(found["now"]):
                log.error("a process ended while it looked at message %s", name)
                ended[name] = ended.pop(name, 0) + 1
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("which messages end the process is not known any more: %s", error)
            return {}
        return dict(list(ended.items())[-_KNOWN:])

    def _note(self, session: Session, name: str) -> None:
        known = {"version": __version__, "now": name, "ended": self._ended}
        session.counters.remember(self._key, json.dumps(known))
