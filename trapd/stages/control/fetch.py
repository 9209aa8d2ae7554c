"""media_get: somebody asks for photographs; they are queued, and the answer says which. Deliver's thread.

What is asked for is looked up in the store by its exact id and never becomes part of a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trapd.errors import BadDocument, StoreFull
from trapd.frozen import Frozen
from trapd.store import Session
from trapd.wire import inbound

OK, INVALID, UNAUTHORISED, NOT_FOUND, TOO_LARGE, STORAGE = 200, 400, 401, 404, 413, 507


class Answer(Frozen):
    """What to tell who asked. `error` is empty where all is well."""

    code: int
    data: dict[str, Any] | None = None
    error: str = ""


def media_get(session: Session, args: Mapping[str, Any], chunk_bytes: int) -> Answer:
    """Queue what is asked for, durably, before it is answered. Chunk ranges count in `chunk_bytes`."""
    try:
        wanted = inbound.media_request(args).wanted
    except BadDocument as error:
        return Answer(INVALID, error=error.message)
    try:
        became = session.outbox.request_media(wanted, chunk_bytes=chunk_bytes)
    except StoreFull as error:
        return Answer(STORAGE, error=error.message)
    data = {
        "queued": list(became.queued),
        "unknown": list(became.unknown),
        "missing": list(became.missing),
        "chunk_bytes": chunk_bytes,
    }
    if not became.queued:
        return Answer(NOT_FOUND, data, "none of these photographs is here")
    return Answer(OK, data)
