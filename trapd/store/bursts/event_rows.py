"""Events as rows of SQLite and back. Used by Events and by recovery, on their own threads."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from trapd.errors import StoreCorrupt
from trapd.frozen import Frozen
from trapd.records import Detection, Event, Medium, Moment, State, Trigger, TsQuality, Verdict
from trapd.store.files import names
from trapd.store.sqlite.rows import LAST_SEQ, boot_row, meta_number, put_meta

SELECT = "SELECT event.*, boot.boot_id FROM event JOIN boot ON boot.row = event.boot"


class Burst(Frozen):
    """A burst as Capture knows it, before anything judged it."""

    id: str
    unit: str
    seq: int
    moment: Moment
    trigger: Trigger
    media: tuple[Medium, ...]
    config: str
    env: dict[str, float]


def insert_burst(connection: sqlite3.Connection, burst: Burst, epoch: str) -> Event:
    """Write a burst, captured, within the caller's transaction."""
    cursor = connection.execute(
        "INSERT INTO event (id, unit, epoch, seq, state, wall_ms, boot_ns, boot, ts_quality,"
        " trigger_source, trigger_sensor, trigger_ns, config, env)"
        " VALUES (?, ?, ?, ?, 'captured', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            burst.id,
            burst.unit,
            epoch,
            burst.seq,
            burst.moment.wall_ms,
            burst.moment.boot_ns,
            boot_row(connection, burst.moment.boot_id),
            burst.moment.quality.value,
            burst.trigger.source,
            burst.trigger.sensor,
            burst.trigger.boot_ns,
            burst.config,
            _json(burst.env),
        ),
    )
    connection.executemany(
        "INSERT INTO medium (event, frame, path, type, bytes, sha256, width, height)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (cursor.lastrowid, _frame(m), m.path, m.type, m.bytes, _sum(m.sha256), m.width, m.height)
            for m in burst.media
        ],
    )
    put_meta(connection, LAST_SEQ, str(max(meta_number(connection, LAST_SEQ), burst.seq)))
    return Event(
        id=burst.id,
        unit=burst.unit,
        epoch=epoch,
        seq=burst.seq,
        n=None,
        state=State.CAPTURED,
        moment=burst.moment,
        trigger=burst.trigger,
        verdict=None,
        media=burst.media,
        config=burst.config,
        env=burst.env,
    )


def _sum(sha256: str) -> bytes | None:
    return bytes.fromhex(sha256) if sha256 else None


def _frame(medium: Medium) -> int:
    return int(medium.id.rpartition("-")[2])


def store_verdict(connection: sqlite3.Connection, row: int, event: Event, verdict: Verdict) -> None:
    """Write what settling changed, within the caller's transaction."""
    about_filter = {
        "model": verdict.model,
        "sha256": verdict.sha256,
        "threshold": verdict.threshold,
        "ms": verdict.ms,
    }
    boxes = [[box.frame, box.category, box.conf, *box.bbox] for box in verdict.detections]
    connection.execute(
        "UPDATE event SET state = ?, n = ?, verdict = ?, score = ?, audit = ?, detections = ?, filter = ?,"
        " reason = ?, thumb = ?, thumb_bytes = ? WHERE row = ?",
        (
            event.state.value,
            event.n,
            verdict.verdict,
            verdict.score,
            int(verdict.audit),
            _json(boxes),
            _json(about_filter),
            verdict.reason,
            *(event.thumb or (None, None)),
            row,
        ),
    )


def to_event(connection: sqlite3.Connection, row: sqlite3.Row) -> Event:
    """The event of one row of SELECT, with its photographs. Raises StoreCorrupt for one that nobody wrote."""
    try:
        return _event(connection, row)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreCorrupt(
            f"the row of an event is damaged: {error}", "the next start looks closely"
        ) from error


def _event(connection: sqlite3.Connection, row: sqlite3.Row) -> Event:
    return Event(
        id=row["id"],
        unit=row["unit"],
        epoch=row["epoch"],
        seq=row["seq"],
        n=row["n"],
        state=State(row["state"]),
        moment=Moment(row["wall_ms"], row["boot_ns"], row["boot_id"], TsQuality(row["ts_quality"])),
        trigger=Trigger(row["trigger_source"], row["trigger_sensor"], row["trigger_ns"]),
        verdict=_verdict(row),
        media=_media(connection, row["row"], row["id"]),
        config=row["config"],
        env=json.loads(row["env"]),
        attempts=row["attempts"],
        thumb=None if row["thumb"] is None else (row["thumb"], row["thumb_bytes"]),
    )


def _media(connection: sqlite3.Connection, row: int, event_id: str) -> tuple[Medium, ...]:
    found = connection.execute("SELECT * FROM medium WHERE event = ? ORDER BY frame", (row,)).fetchall()
    return tuple(
        Medium(
            id=names.medium_id(event_id, medium["frame"]),
            type=medium["type"],
            bytes=medium["bytes"],
            sha256=(medium["sha256"] or b"").hex(),
            width=medium["width"],
            height=medium["height"],
            path=None if medium["evicted"] else medium["path"],
        )
        for medium in found
    )


def _verdict(row: sqlite3.Row) -> Verdict | None:
    if row["verdict"] is None:
        return None
    about_filter = json.loads(row["filter"])
    return Verdict(
        verdict=row["verdict"],
        keep=row["state"] != State.DISCARDED.value,
        score=row["score"],
        audit=bool(row["audit"]),
        detections=tuple(
            Detection(frame, category, conf, (x, y, width, height))
            for frame, category, conf, x, y, width, height in json.loads(row["detections"])
        ),
        model=about_filter["model"],
        sha256=about_filter["sha256"],
        threshold=about_filter["threshold"],
        ms=about_filter["ms"],
        reason=row["reason"],
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
