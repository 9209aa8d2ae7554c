"""Commands that came while the stages ended, and nobody looked.

A broker that keeps a session gives them again, for they were not acknowledged: then they are known by their
number. One that keeps none does not. Kept by the main thread once all stages have ended in order, and taken
out by the next Control before anything else. They are forgotten as they are taken out: one that ended the
process is not looked at again.
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
    kept: list[list[str | int | None]] = []
    size_bytes = 0
    for message in messages:
        size_bytes += len(message.payload)
        if len(kept) == _MOST or size_bytes > _MOST_BYTES:
            log.warning("more commands came while trapd ended than it keeps")
            break
        payload = base64.b64encode(message.payload).decode("ascii")
        correlation = None if message.correlation is None else base64.b64encode(message.correlation).decode()
        kept.append([message.topic, payload, message.response_topic, correlation, message.number])
    if kept:
        session.meta.put(_KEY, json.dumps(kept))


def take(session: Session) -> list[Received]:
    """What an earlier process kept, once. Raises StoreFull: then it is still there."""
    text = session.meta.get(_KEY)
    if text is None:
        return []
    session.meta.put_or_forget(_KEY, None)
    try:
        return [_read(*kept) for kept in json.loads(text)]
    except (ValueError, TypeError) as error:
        log.warning("what came while trapd ended is lost: %s", error)
        return []


def _read(
    topic: str,
    payload: str,
    response_topic: str | None,
    correlation: str | None = None,
    number: int | None = None,
) -> Received:
    return Received(
        topic,
        base64.b64decode(payload),
        retained=False,
        response_topic=response_topic,
        correlation=None if correlation is None else base64.b64decode(correlation),
        number=number,
    )
