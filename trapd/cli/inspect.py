"""`trapd status` and `trapd events`: the store as it is, whether or not the daemon runs."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trapd.cli.options import config_option, json_option
from trapd.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trapd.config import Loaded
    from trapd.records import Event
    from trapd.store import Session

_VERDICTS = ("animal", "person", "vehicle", "unclassified", "empty", "unknown")
_AGO = re.compile(r"(\d+)(s|m|h|d)")
_AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PAGE = 500
_TRAIL = 1000


@click.command()
@config_option
@json_option
@click.option("--trail", is_flag=True, help="Only the attempts at remote control, the oldest first.")
def status(config: str | None, as_json: bool, trail: bool) -> None:
    """Queue by kind, oldest unsent, last trigger, last delivery, disk, triggers, refusals and counters."""
    from trapd.config import find, load

    loaded = load(find(config))
    with store_of(loaded) as session:
        if trail:
            records = [json.loads(record) for record in session.obeyed.trail(_TRAIL)]
            for record in records:
                click.echo(json.dumps(record, ensure_ascii=False) if as_json else _trail_text(record))
            if not records and not as_json:
                click.echo("nobody has tried to control this unit from afar", err=True)
            return
        facts = _status(loaded, session)
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _tell_status(facts)


@click.command()
@config_option
@json_option
@click.option(
    "--since", metavar="T", help="Only since then: 2026-11-22, 2026-11-22T05:00, or 90m, 12h, 3d ago."
)
@click.option("--verdict", type=click.Choice(_VERDICTS), help="Only events of this verdict.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest ones.")
def events(
    config: str | None, as_json: bool, since: str | None, verdict: str | None, limit: int | None
) -> None:
    """Recorded events, oldest first; with --json one event a line."""
    from trapd.config import find, load
    from trapd.wire import codec

    loaded = load(find(config))
    since_ms = None if since is None else _since_ms(since, datetime.now(UTC))
    with store_of(loaded) as session:
        none = True
        for event in _chosen(session, since_ms, verdict, limit):
            line = codec.event_line(event)
            click.echo(json.dumps(line) if as_json else _event_text(line))
            none = False
        if none and not as_json:
            click.echo("no such event is recorded", err=True)


def store_of(loaded: Loaded) -> Session:
    """Raises Unavailable where the unit has not run yet: nothing is wrong, there is only nothing to show."""
    from trapd.store import Store, in_use

    root, unit = Path(loaded.settings.storage.path), loaded.settings.unit.id
    try:
        return Store.peek(root)
    except UsageError as error:
        if in_use(root):
            raise Unavailable(
                f"unit {unit} starts for the first time: its store is being made", "ask again in a moment"
            ) from error
        raise Unavailable(
            f"unit {unit} has not run yet: there is no store in {root}",
            "trapd run makes it; if it did run, storage.path is another",
        ) from error


def _chosen(
    session: Session, since_ms: int | None, verdict: str | None, limit: int | None
) -> Iterator[Event]:
    """Oldest first, page by page: a season of events never lies in memory as a whole."""
    if limit is not None:
        newest = session.events.page(since_wall_ms=since_ms, verdict=verdict, limit=limit, newest_first=True)
        yield from reversed(newest)
        return
    after: str | None = None
    while page := session.events.page(since_wall_ms=since_ms, verdict=verdict, limit=_PAGE, after=after):
        yield from page
        after = page[-1].id


def _since_ms(text: str, now: datetime) -> int:
    """A time of day or so long ago, as Unix milliseconds. Without an offset it is local time."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            at = now - timedelta(**{_AGO_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--since {text} is no time", "such as 2026-11-22, 2026-11-22T05:00, 90m, 12h or 3d"
        ) from error
    return int(at.timestamp() * 1000)


def _status(loaded: Loaded, session: Session) -> dict[str, Any]:
    from trapd.host.clock import SystemClock
    from trapd.records import Kind
    from trapd.remote.look import version_and_phase
    from trapd.wire import codec

    now = SystemClock().now()
    newest = session.events.newest()
    delivered_ms = session.outbox.last_delivery_ms()
    counters = session.counters.all()
    depth = session.outbox.depth()
    totals = session.events.totals()
    settings = loaded.settings
    version, phase = version_and_phase(session.root)
    refused = {
        name.removeprefix("refused."): n for name, n in counters.items() if name.startswith("refused.")
    }
    return {
        "unit": settings.unit.id,
        "epoch": session.epoch,
        "last_seq": newest.seq if newest else 0,
        "queue": {kind.value: depth.get(kind.value, 0) for kind in Kind},
        "oldest_unsent_s": session.outbox.oldest_unsent_s(now),
        "last_trigger": codec.rfc3339(newest.moment.wall_ms) if newest else None,
        "last_delivery": codec.rfc3339(delivered_ms) if delivered_ms else None,
        "events": {name: n for name, n in totals.items() if name != "bursts"},
        "triggers": {"bursts": totals["bursts"], "refused": refused},
        "counters": {name: n for name, n in counters.items() if not name.startswith("refused.")},
        "disk": _disk(session.root, settings.storage.max_bytes, settings.storage.min_free_bytes),
        "config": {"version": version, "phase": phase},
        "alerts": _alerts(session),
    }


def _alerts(session: Session) -> list[dict[str, str]]:
    """Those that stand, by name; of one that cannot be read the name alone."""
    found = []
    for leaf, payload in session.outbox.retained("alert/").items():
        said: Any = None
        with suppress(ValueError):
            said = json.loads(payload)
        fields = said if isinstance(said, dict) else {}
        alert = {"name": leaf.removeprefix("alert/")}
        found.append(alert | {field: str(fields.get(field, "")) for field in ("since", "message", "hint")})
    return found


def _disk(root: Path, max_bytes: int, min_free_bytes: int) -> dict[str, int]:
    from trapd.store.files.durable import tree_bytes
    from trapd.store.room.space import free_bytes_at

    return {
        "used_bytes": tree_bytes(root),
        "free_bytes": free_bytes_at(root),
        "max_bytes": max_bytes,
        "min_free_bytes": min_free_bytes,
    }


def _tell_status(facts: dict[str, Any]) -> None:
    queue = ", ".join(f"{n} {kind}" for kind, n in facts["queue"].items() if n) or "nothing waits"
    refused = ", ".join(f"{n} {reason}" for reason, n in facts["triggers"]["refused"].items()) or "none"
    states = ", ".join(f"{n} {state}" for state, n in facts["events"].items() if n) or "none"
    counters = ", ".join(f"{n} {name}" for name, n in facts["counters"].items()) or "none"
    disk = facts["disk"]
    oldest = facts["oldest_unsent_s"]
    lines = (
        ("unit", f"{facts['unit']}, epoch {facts['epoch'] or '-'}, last burst {facts['last_seq']}"),
        ("queue", queue + (f"; the oldest for {oldest:.0f} s" if oldest is not None else "")),
        ("events", states),
        ("refused", refused),
        ("counters", counters),
        ("last trigger", facts["last_trigger"] or "never"),
        ("last delivery", facts["last_delivery"] or "never"),
        ("disk", f"{disk['used_bytes'] / 1e6:.1f} MB used, {disk['free_bytes'] / 1e9:.1f} GB free"),
        ("configuration", f"{facts['config']['phase']}, version {facts['config']['version']}"),
        *(("alert", _alert_text(alert)) for alert in facts["alerts"]),
    )
    for name, text in lines:
        click.echo(f"{name:14} {text}")


def _alert_text(alert: dict[str, str]) -> str:
    what = f"{alert['name']}: {alert['message']}"
    return f"{what} ({alert['hint']})" if alert["hint"] else what


def _trail_text(record: dict[str, Any]) -> str:
    if "more" in record:
        return f"{record['ts']}  {record['more']} more in this hour"
    what = f"{record['leaf']} {record['txn'] or '-'}"
    who = f"  key {record['kid']}" if record["kid"] else ""
    return f"{record['ts']}  {record['code']}  {what}{who}  {record['message'] or ''}".rstrip()


def _event_text(line: dict[str, Any]) -> str:
    score = "   -" if line["score"] is None else f"{line['score']:.2f}"
    audit = " audit" if line["audit"] else ""
    return f"{line['ts']}  {line['id']}  {line['verdict'] or '-':12} {score}  {line['state']}{audit}"
