"""Commands that came while the stages ended: the broker has been told that they arrived, and nobody looked.

Kept by the main thread once all stages have ended in order, and taken out by the next Control before anything
else. They are forgotten as they are taken out: one that ended the process is not looked at again.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable

from trapd.ports import Received
from trapd.store import Session

log = logging.getLogger("trapd.control")

_KEY = "unheard"
_MOST = 50
_MOST_BYTES = 500_000


def keep(session: Session, messages: Iterable[Received]) -> None:
    """The first of them, as many as there is room for. Raises StoreFull."""
    kept: list[list[str | None]] = []
    size_bytes = 0
    for message in messages:
        size_bytes += len(message.payload)
        if len(kept) == _MOST or size_bytes > _MOST_BYTES:
            log.warning("more commands came while trapd ended than it keeps")
            break
        payload = base64.b64encode(message.payload).decode("ascii")
        kept.append([message.topic, payload, message.response_topic])
    if kept:
        session.meta.put(_KEY, json.dumps(kept))


def take(session: Session) -> list[Received]:
    """What an earlier process kept, once. Raises StoreFull: then it is still there."""
    text = session.meta.get(_KEY)
    if text is None:
        return []
    session.meta.put_or_forget(_KEY, None)
    try:
        return [
            Received(topic, base64.b64decode(payload), retained=False, response_topic=response_topic)
            for topic, payload, response_topic in json.loads(text)
        ]
    except (ValueError, TypeError) as error:
        log.warning("what came while trapd ended is lost: %s", error)
        return []
