"""The demo's arithmetic: what the unit recorded, held against what the subscriber got. Pure but for reading.

A burst is `kept` when it is due for delivery (audit samples included); one that was never judged counts as
kept, since only a clear empty may be dropped. It is `delivered` when its event arrived and names the sha256
of each of its files on the unit's disk. `lost` is the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from trapd.demo.subscriber import Arrivals
from trapd.frozen import Frozen
from trapd.records import Event, State


class Summary(Frozen):
    """The last line of `trapd demo --json`; times in seconds."""

    triggers: int
    bursts: int
    kept: int
    discarded: int
    delivered: int
    lost: int
    duplicates: int
    outage_s: float
    seconds: float


def add_up(
    events: Mapping[str, Event],
    refused: int,
    arrivals: Arrivals,
    root: Path,
    *,
    outage_s: float,
    seconds: float,
) -> Summary:
    """`events`: what the unit recorded, by id; `refused`: triggers without a burst; `root`: storage.path."""
    kept = {event.id for event in events.values() if event.state is not State.DISCARDED}
    delivered = {event_id for event_id in kept if _sound(events[event_id], arrivals, root)}
    return Summary(
        triggers=len(events) + refused,
        bursts=len(events),
        kept=len(kept),
        discarded=len(events) - len(kept),
        delivered=len(delivered),
        lost=len(kept - delivered),
        duplicates=arrivals.repeats,
        outage_s=round(outage_s, 1),
        seconds=round(seconds, 1),
    )


def why_failed(summary: Summary, events: Mapping[str, Event], arrivals: Arrivals) -> str | None:
    """A sentence that says why the demo did not succeed; None when it did."""
    if summary.lost:
        return f"{summary.lost} of the {summary.kept} bursts kept did not arrive whole"
    if arrivals.malformed:
        return f"{arrivals.malformed} message(s) arrived that cannot be read"
    strangers = arrivals.events.keys() - {
        event.id for event in events.values() if event.state is not State.DISCARDED
    }
    if strangers:
        return f"{len(strangers)} event(s) arrived that the unit did not keep"
    if bare := _without_thumbnail(events, arrivals):
        return f"{bare} thumbnail(s) of bursts kept did not arrive"
    return _why_nothing(summary)


def _why_nothing(summary: Summary) -> str | None:
    if not summary.bursts:
        return f"no burst was taken; {summary.triggers} triggers were refused"
    if not summary.delivered:
        return "the filter kept nothing, so nothing was delivered"
    return None


def _without_thumbnail(events: Mapping[str, Event], arrivals: Arrivals) -> int:
    """How many kept bursts have a thumbnail on the unit that never came."""
    made = {event.id for event in events.values() if event.thumb and event.state is not State.DISCARDED}
    return len(made - arrivals.thumbnails)


def _sound(event: Event, arrivals: Arrivals, root: Path) -> bool:
    """Whether the event arrived with the checksums of the very files on disk."""
    files = {medium.id: root / medium.path for medium in event.media if medium.path is not None}
    if len(files) < len(event.media) or not all(file.is_file() for file in files.values()):
        return False
    on_disk = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    return bool(on_disk) and arrivals.events.get(event.id) == on_disk
