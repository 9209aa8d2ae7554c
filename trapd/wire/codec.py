"""Every JSON payload that leaves the unit, made from the records. Pure; any thread.

Compact, UTF-8, keys in the order of docs and contract. What cannot be said in JSON (NaN, a time beyond the
calendar, half a character) raises BadDocument: one damaged item, not the end of the queue. What each payload
holds is said once, in shapes.py: the type checker holds this file to it, and `docs/schemas` is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from trapd.errors import BadDocument, Fault
from trapd.records import Alert, Event, Medium, ModelInfo, Moment, TsQuality, Verdict
from trapd.rules import round_location

if TYPE_CHECKING:
    from trapd.wire import shapes

_VERSION: Literal[1] = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCORE_DECIMALS = 3
_BOX_DECIMALS = 4
_THRESHOLD_DECIMALS = 4
_FIRST_ERROR = 300
_NOT_YET = Verdict("unknown", keep=False)

CLEARED = b""
"""The payload that removes a retained leaf, such as an alert that is over."""


class Availability(StrEnum):
    """What stands on `availability`, plain and not JSON. OFFLINE is the will."""

    ONLINE = "online"
    SLEEPING = "sleeping"
    STOPPED = "stopped"
    OFFLINE = "offline"


def event(event: Event) -> bytes:
    """The payload of `event`. Raises BadDocument for an event that was never given its `n` or a verdict."""
    if event.n is None or event.verdict is None:
        raise BadDocument(f"event {event.id} is not due for delivery", "publish events once they are kept")
    return _json(_event_fields(event, event.n, event.verdict))


def event_line(event: Event) -> dict[str, Any]:
    """One line of `trapd events`: as published, with its state; what is not known yet is null."""
    fields = _event_fields(event, event.n or 0, event.verdict or _NOT_YET)
    line: dict[str, Any] = {**fields, "n": event.n, "state": event.state.value}
    if event.verdict is None:
        line |= {"verdict": None, "filter": {"model": None, "sha256": None, "threshold": None, "ms": None}}
    return line


def tombstone(event_id: str, epoch: str, n: int, lost: str) -> bytes:
    """Instead of an event that had to be given up: its number stays accounted for."""
    fields: shapes.Tombstone = {"v": _VERSION, "id": event_id, "epoch": epoch, "n": n, "lost": lost}
    return _json(fields)


def lost_file(file_id: str, lost: str) -> bytes:
    """Instead of a photograph's manifest, or of an event's thumbnail."""
    fields: shapes.LostFile = {"v": _VERSION, "id": file_id, "lost": lost}
    return _json(fields)


def birth(
    *,
    unit: str,
    name: str,
    station: str,
    groups: Iterable[str],
    version: str,
    python: str,
    model: ModelInfo | None,
    config: str,
    epoch: str,
    started: Moment,
    protocol: str,
    location: tuple[float, float] | None,
    location_precision_km: float,
) -> bytes:
    """Who this unit is and what it runs. `location` (latitude, longitude) leaves it only rounded."""
    fields: shapes.Birth = {
        "v": _VERSION,
        "unit": unit,
        "name": name,
        "station": station,
        "groups": list(groups),
        "version": version,
        "python": python,
        "model": _model_fields(model),
        "config": config,
        "boot_id": started.boot_id,
        "epoch": epoch,
        "started": rfc3339(started.wall_ms),
        "ts_quality": started.quality.value,
        "protocol": protocol,
        "location": _location_fields(location, location_precision_km),
    }
    return _json(fields)


def state(at: Moment, values: Mapping[str, bool | float | str | None]) -> bytes:
    """The heartbeat: flat, numeric where it can be (yes is 1, no is 0), what is unknown left out.

    Its fields are gathered elsewhere; shapes_state.py names them.
    """
    fields: dict[str, Any] = {"v": _VERSION, "ts": rfc3339(at.wall_ms), "ts_quality": at.quality.value}
    for key, value in values.items():
        if value is not None:
            fields[key] = int(value) if isinstance(value, bool) else value
    return _json(fields)


def alert(alert: Alert) -> bytes:
    """What stands while the alert does; CLEARED when it is over."""
    fields: shapes.Alert = {"since": alert.since, "message": alert.message, "hint": alert.hint}
    return _json(fields)


def clock(boot_id: str, offset_ms: int, ts_quality: TsQuality) -> bytes:
    """Corrects the times of events of this boot that were already sent: true is `mono_ms` + `offset_ms`."""
    fields: shapes.ClockOffset = {
        "boot_id": boot_id,
        "offset_ms": offset_ms,
        "ts_quality": ts_quality.value,
    }
    return _json(fields)


def reported(
    *,
    version: int,
    phase: str,
    hash_: str,
    attempt: tuple[int, str, int, Iterable[Fault]] | None,
    doc: Mapping[str, Any],
    locked: Iterable[str],
) -> bytes:
    """`config/reported`. `attempt`: version, txn, code and faults of the latest; None before the first."""
    last: shapes.Attempt | None = None
    if attempt is not None:
        tried, txn, code, faults = attempt
        errors: list[shapes.Fault] = [
            {"path": fault.path, "message": fault.message, "hint": fault.hint} for fault in faults
        ]
        last = {"version": tried, "txn": txn, "code": code, "errors": errors}
    fields: shapes.Reported = {
        "v": _VERSION,
        "version": version,
        "phase": phase,
        "hash": hash_,
        "last_attempt": last,
        "doc": dict(doc),
        "locked": list(locked),
    }
    return _json(fields)


def trail(
    at: Moment, *, leaf: str, txn: str | None, code: int, kid: str | None, version: int | None, message: str
) -> bytes:
    """One attempt at remote control, obeyed or refused."""
    fields: shapes.Trail = {
        "v": _VERSION,
        "ts": rfc3339(at.wall_ms),
        "ts_quality": at.quality.value,
        "leaf": leaf,
        "txn": txn,
        "version": version,
        "code": code,
        "kid": kid,
        "message": message or None,
    }
    return _json(fields)


def trail_more(at: Moment, count: int) -> bytes:
    """Attempts of the last hour that were too many for a record each."""
    fields: shapes.TrailMore = {
        "v": _VERSION,
        "ts": rfc3339(at.wall_ms),
        "ts_quality": at.quality.value,
        "more": count,
    }
    return _json(fields)


def manifest(medium: Medium, chunk_bytes: int, chunks: int) -> bytes:
    """What the chunks of a photograph come to."""
    fields: shapes.Manifest = {
        "id": medium.id,
        "bytes": medium.bytes,
        "sha256": medium.sha256,
        "chunk_bytes": chunk_bytes,
        "chunks": chunks,
    }
    return _json(fields)


def answer(
    unit: str, txn: str | None, code: int, *, data: Mapping[str, Any] | None = None, error: str = ""
) -> bytes:
    """The answer to a command. `txn` None: the command could not be read so far.

    Each names its unit: those to a group's command may all go to one topic.
    """
    fields: shapes.Answer = {
        "unit": unit,
        "txn": txn,
        "status": "ok" if code < _FIRST_ERROR else "error",
        "code": code,
        "data": None if data is None else dict(data),
        "error": error or None,
    }
    return _json(fields)


def rfc3339(wall_ms: int) -> str:
    """Unix milliseconds as `2026-11-22T05:13:22.120Z`. Raises BadDocument beyond the years 1 to 9999."""
    try:
        at = _EPOCH + timedelta(milliseconds=wall_ms)
    except OverflowError as error:
        raise BadDocument(f"{wall_ms} ms is no time of the calendar", "is the clock set?") from error
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event_fields(event: Event, n: int, verdict: Verdict) -> shapes.Event:
    return {
        "v": _VERSION,
        "id": event.id,
        "unit": event.unit,
        "epoch": event.epoch,
        "seq": event.seq,
        "n": n,
        "ts": rfc3339(event.moment.wall_ms),
        "ts_quality": event.moment.quality.value,
        "boot_id": event.moment.boot_id,
        "mono_ms": event.moment.boot_ns // 1_000_000,
        "trigger": {"source": event.trigger.source, "sensor": event.trigger.sensor},
        "verdict": verdict.verdict,
        "score": _rounded_or_none(verdict.score, _SCORE_DECIMALS),
        "audit": verdict.audit,
        "detections": _detections(verdict),
        "filter": _filter_fields(verdict),
        "frames": len(event.media),
        "media": [
            {
                "id": medium.id,
                "type": medium.type,
                "bytes": medium.bytes,
                "sha256": medium.sha256 or None,
                "width": medium.width,
                "height": medium.height,
            }
            for medium in event.media
        ],
        "config": event.config,
        "env": dict(event.env),
    }


def _detections(verdict: Verdict) -> list[shapes.Box]:
    return [
        {
            "frame": box.frame,
            "category": box.category,
            "conf": _rounded(box.conf, _SCORE_DECIMALS),
            "bbox": [_rounded(edge, _BOX_DECIMALS) for edge in box.bbox],
        }
        for box in verdict.detections
    ]


def _filter_fields(verdict: Verdict) -> shapes.Filter:
    return {
        "model": verdict.model or "none",
        "sha256": verdict.sha256,
        "threshold": _rounded_or_none(verdict.threshold, _THRESHOLD_DECIMALS),
        "ms": verdict.ms,
    }


def _model_fields(model: ModelInfo | None) -> shapes.Model | None:
    if model is None:
        return None
    return {
        "name": model.name,
        "sha256": model.sha256,
        "threshold": _rounded(model.threshold, _THRESHOLD_DECIMALS),
        "layout": model.layout,
        "input": model.input,
        "tells": sorted(model.tells),
    }


def _location_fields(location: tuple[float, float] | None, precision_km: float) -> shapes.Place | None:
    if location is None:
        return None
    latitude, longitude = round_location(*location, precision_km)
    return {"latitude": latitude, "longitude": longitude, "precision_km": precision_km}


def _rounded_or_none(value: float | None, decimals: int) -> float | None:
    return None if value is None else _rounded(value, decimals)


def _rounded(value: float, decimals: int) -> float:
    # float() also turns the number types of array libraries into what JSON knows.
    return round(float(value), decimals)


def _json(fields: Mapping[str, object]) -> bytes:
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (ValueError, TypeError) as error:
        raise BadDocument(f"this cannot be written as JSON: {error}") from error
