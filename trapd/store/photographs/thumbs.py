"""Thumbnails on the disk. Screen's thread writes them, Deliver's reads them, Housekeep's secures them.

A thumbnail's name is not synced when it is written: what a power cut takes is made again from the photograph.
So the names must be durable, and all thumbnails there, before photographs go that nobody has seen yet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from trapd.errors import BadInput, StoreError, StoreFull
from trapd.records import Event, Medium
from trapd.store.files import durable, names
from trapd.store.files.durable import disk_errors
from trapd.store.photographs import reading, thumbnail

log = logging.getLogger("trapd.store")

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"  # of every whole JPEG


def write(root: Path, event: Event, frame: int, max_bytes: int) -> tuple[str, int, int] | None:
    """Make an event's thumbnail from photograph number `frame`: path, bytes, and how many of them are new.

    None where none fits `max_bytes`. One sync. Raises BadPicture, StoreFull, StoreError.
    """
    small = thumbnail.make(reading.read(root, event.media[frame]), max_bytes)
    if small is None:
        return None
    path = names.thumb_path(event.id)
    return path, len(small), _write(root, event.id, path, small)


def read(root: Path, event: Event) -> bytes | None:
    """An event's thumbnail, made again from its photograph where the file is gone; None without both."""
    if event.thumb is None:
        return None
    kept = _kept(root, event.thumb)
    return _make_again(root, event, event.thumb[1]) if kept is None else kept


def secure(root: Path, events: Iterable[Event]) -> int:
    """Before their photographs go: the thumbnails of these events are there, durably. Gives the bytes added.

    One sync, and one for each that a power cut had taken. One that cannot be made again, or finds no room, is
    named in the log and lost. Raises StoreError.
    """
    added_bytes = 0
    for event in events:
        if event.thumb is not None and _kept(root, event.thumb) is None:
            added_bytes += _restore(root, event, event.thumb)
    with disk_errors("make the names of thumbnails durable"):
        durable.sync_folder(root / names.THUMBS)
    return added_bytes


def _restore(root: Path, event: Event, thumb: tuple[str, int]) -> int:
    small = _make_again(root, event, thumb[1])
    if small is None:
        return 0
    try:
        return _write(root, event.id, thumb[0], small)
    except StoreFull as error:
        log.warning("no thumbnail for %s: %s", event.id, error)
        return 0


def _kept(root: Path, thumb: tuple[str, int]) -> bytes | None:
    path, size_bytes = thumb
    try:
        kept = (root / path).read_bytes()
    except OSError:
        return None
    # One that was made again may be smaller.
    return kept if len(kept) <= size_bytes and kept.startswith(_BEGIN) and kept.endswith(_END) else None


def _make_again(root: Path, event: Event, size_bytes: int) -> bytes | None:
    for medium in _best_first(event):
        try:
            small = thumbnail.make(reading.read(root, medium), size_bytes)
        except BadInput as error:
            log.warning("no thumbnail for %s from %s: %s", event.id, medium.id, error)
            continue
        if small is not None:
            return small
    return None


def _best_first(event: Event) -> tuple[Medium, ...]:
    """The photograph that shows it best, then the others: any of them is better than none."""
    detections = event.verdict.detections if event.verdict else ()
    best = max(detections, key=lambda box: box.conf).frame if detections else 0
    return (*event.media[best : best + 1], *event.media[:best], *event.media[best + 1 :])


def _write(root: Path, event_id: str, path: str, small: bytes) -> int:
    temp = root / names.TEMP / f"thumb-{event_id}.jpg"
    try:
        with disk_errors(f"write the thumbnail of {event_id}"):
            temp.parent.mkdir(exist_ok=True)  # somebody may have taken it away
            durable.write_new(temp, small)
            replaced_bytes = durable.file_bytes(root / path)
            (root / path).parent.mkdir(exist_ok=True)
            temp.rename(root / path)
    except StoreError:
        durable.remove_if_possible(temp)
        raise
    return len(small) - replaced_bytes
