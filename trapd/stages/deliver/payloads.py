"""What a row is sent with: its own bytes, or made from its event when its turn has come. Deliver's thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from trapd.errors import BadPicture
from trapd.frozen import replace
from trapd.records import Event, Kind, Medium, Message
from trapd.store import Session, Store
from trapd.store.queue import transfer
from trapd.wire import codec, topics

_END_OF_JPEG = b"\xff\xd9"


class Payloads:
    """`encode_event` turns an event into its payload."""

    def __init__(self, store: Store, encode_event: Callable[[Event], bytes]) -> None:
        self._store = store
        self._encode_event = encode_event
        self._event: Event | None = None  # of the photograph under way: its parts need it again and again

    def leaf(self, message: Message) -> str:
        """The topic of this publish below the unit's. Raises BadInput."""
        if message.kind not in transfer.KINDS:
            return message.leaf
        medium_id = transfer.medium_of(message.leaf)  # without chunks it is its tombstone
        return topics.manifest(medium_id) if message.part == 0 else topics.chunk(medium_id, message.part - 1)

    def make(self, session: Session, message: Message, most_bytes: int | None = None) -> bytes | None:
        """Its bytes; None where what it speaks of is gone for good. Raises BadInput, StoreError, OSError.

        An event that would be larger than `most_bytes` goes without its weakest detections.
        """
        if message.payload is not None:
            return message.payload
        if message.chunk_bytes:
            return self._part(session, message)
        if message.file is not None and (thumb := self._thumb(session, message.file, message.bytes)):
            return thumb
        event = session.events.get(message.event_id) if message.event_id is not None else None
        if event is None:
            return None
        return self._store.thumb(event) if message.kind is Kind.THUMB else self._fitting(event, most_bytes)

    def _fitting(self, event: Event, most_bytes: int | None) -> bytes:
        payload = self._encode_event(event)
        while most_bytes is not None and len(payload) > most_bytes:
            verdict = event.verdict
            if verdict is None or not verdict.detections:
                break
            strongest = sorted(verdict.detections, key=lambda box: -box.conf)[: len(verdict.detections) // 2]
            kept = tuple(box for box in verdict.detections if box in strongest)
            event = replace(event, verdict=replace(verdict, detections=kept))
            payload = self._encode_event(event)
        return payload

    def _thumb(self, session: Session, file: str, size_bytes: int) -> bytes | None:
        """As it lies on disk; None where a power cut took it, and it has to be made again."""
        try:
            # Not through Path: joining and opening would cost as much again as all else of a row.
            handle = os.open(f"{session.root}/{file}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                kept = os.read(handle, size_bytes + 1)
            finally:
                os.close(handle)
        except OSError:
            return None
        return kept if len(kept) == size_bytes and kept.endswith(_END_OF_JPEG) else None

    def _part(self, session: Session, message: Message) -> bytes | None:
        medium = self._medium(session, message)
        if medium is None or medium.path is None:
            return None
        try:
            if message.part:
                return transfer.read_chunk(session.root, medium, message.part - 1, message.chunk_bytes)
            if not medium.sha256:
                medium = replace(medium, sha256=hashlib.sha256(self._store.read(medium)).hexdigest())
        except BadPicture:
            self._event = None
            medium = self._medium(session, message)
            if medium is None or not (session.root / str(medium.path)).exists():
                return None  # evicted since
            raise
        chunks = transfer.chunks(medium.bytes, message.chunk_bytes)
        return codec.manifest(medium, message.chunk_bytes, chunks)

    def _medium(self, session: Session, message: Message) -> Medium | None:
        if message.event_id is None:
            return None
        if self._event is None or self._event.id != message.event_id:
            self._event = session.events.get(message.event_id)
        wanted = transfer.medium_of(message.leaf)
        media = () if self._event is None else self._event.media
        return next((medium for medium in media if medium.id == wanted), None)
