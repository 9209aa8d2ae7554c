"""`trapd status` and `trapd events` on a store in every state, beside a writer and without a store."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.stages.driver import UNIT, Bench, bench
from trapd.cli import inspect
from trapd.cli.verbs import cli
from trapd.errors import StoreCorrupt, StoreError, Unavailable, UsageError
from trapd.records import Detection, Event, Kind, Trigger, Verdict
from trapd.store import Session

ANIMAL = Verdict(
    "animal",
    keep=True,
    score=0.912,
    detections=(Detection(0, "animal", 0.912, (0.1, 0.2, 0.3, 0.4)),),
    model="default",
    sha256="cd" * 32,
    threshold=0.35,
    ms=41,
)
EMPTY = Verdict("empty", keep=False, score=0.02, model="default", sha256="cd" * 32, threshold=0.35, ms=40)
AUDIT = Verdict("empty", keep=True, audit=True, score=0.03, model="default", sha256="cd" * 32, threshold=0.35)
UNJUDGED = Verdict("unknown", keep=True, model="none", reason="no filter is configured")

EVENT_FIELDS = [
    "v", "id", "unit", "epoch", "seq", "n", "ts", "ts_quality", "boot_id", "mono_ms", "trigger", "verdict",
    "score", "audit", "detections", "filter", "frames", "media", "config", "env", "state",
]  # fmt: skip


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Bench]:
    """A store: an animal delivered, one kept, an empty, a sample, an unjudged one, one not judged yet."""
    config = {
        "unit": {"id": UNIT},
        "mqtt": {"host": "b"},
        "storage": {"path": str(tmp_path / "store"), "max_bytes": 10**9, "min_free_bytes": 10**6},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with bench(tmp_path / "store") as made:
        made.clock.set_wall(time.time_ns() // 1_000_000 - 6 * 3_600_000)
        for verdict in (ANIMAL, ANIMAL, EMPTY, AUDIT, UNJUDGED, None):
            event = made.burst()
            if verdict is not None:
                made.session.events.settle(event.id, verdict)
            if event.seq == 1:
                made.session.outbox.acknowledge(rows_of(made.session, event))
            made.clock.advance(3600.0)
        made.session.counters.add("refused.busy", 4)
        made.session.counters.add("refused.disk")
        made.session.counters.add("unjudged")
        made.session.counters.add("photographs_bad", 2)
        made.alerts.raise_("camera", "no camera", "look")
        yield made


def rows_of(session: Session, event: Event) -> list[int]:
    return [row.row for row in session.outbox.next(1000, max_bytes=10**9) if row.event_id == event.id]


def run(unit: Bench | Path, *arguments: str) -> Result:
    root = unit if isinstance(unit, Path) else unit.store.root
    config = root.with_name("config.yaml")
    verb, *options = arguments
    return CliRunner(catch_exceptions=False).invoke(cli, [verb, "--config", str(config), *options])


def lines(unit: Bench, *options: str) -> list[dict[str, Any]]:
    result = run(unit, "events", "--json", *options)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.output.splitlines()]


# --- status ------------------------------------------------------------------------------------------------


def test_status_for_programs(unit: Bench) -> None:
    facts = json.loads(run(unit, "status", "--json").output)
    newest = unit.events()[-1]
    assert facts["unit"] == UNIT
    assert facts["epoch"] == unit.store.epoch
    assert facts["last_seq"] == 6
    assert facts["queue"] == dict.fromkeys(Kind, 0) | {"event": 3, "alert": 1}
    assert facts["counters"] == {"photographs_bad": 2, "unjudged": 1}
    assert 4.9 * 3600 < facts["oldest_unsent_s"] < 5.1 * 3600
    assert facts["triggers"] == {"bursts": 6, "refused": {"busy": 4, "disk": 1}}
    assert facts["events"] == {"captured": 1, "kept": 3, "discarded": 1, "delivered": 1}
    assert facts["config"] == {"version": 0, "phase": "local"}
    assert facts["last_trigger"] == _rfc3339(newest.moment.wall_ms)
    assert facts["last_delivery"] == _rfc3339(unit.events()[0].moment.wall_ms)
    assert facts["disk"]["max_bytes"] == 10**9
    photographs = sum(medium.bytes for event in unit.events() for medium in event.media)
    assert facts["disk"]["used_bytes"] > photographs
    assert facts["disk"]["free_bytes"] > 0
    (alert,) = facts["alerts"]
    assert (alert["name"], alert["message"], alert["hint"]) == ("camera", "no camera", "look")
    assert alert["since"].endswith("Z")


def _rfc3339(wall_ms: int) -> str:
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_status_for_people(unit: Bench) -> None:
    told = dict(line.split(maxsplit=1) for line in run(unit, "status").output.splitlines())
    assert told["unit"] == f"{UNIT}, epoch {unit.store.epoch}, last burst 6"
    assert told["queue"].startswith("1 alert, 3 event; the oldest for 1")
    assert told["events"] == "1 captured, 3 kept, 1 discarded, 1 delivered"
    assert told["refused"] == "4 busy, 1 disk"
    assert told["counters"] == "2 photographs_bad, 1 unjudged"
    assert told["disk"].endswith("GB free")
    assert told["configuration"] == "local, version 0"
    assert told["alert"] == "camera: no camera (look)"
    unit.alerts.clear("camera")
    assert "\nalert" not in run(unit, "status").output


def test_status_of_a_unit_that_has_seen_nothing(tmp_path: Path) -> None:
    with bench(tmp_path / "store"):
        pass
    _config(tmp_path)
    facts = json.loads(run(tmp_path / "store", "status", "--json").output)
    assert (facts["last_seq"], facts["oldest_unsent_s"]) == (0, None)
    assert facts["queue"] == dict.fromkeys(Kind, 0)  # the same keys as when something waits
    assert (facts["last_trigger"], facts["last_delivery"]) == (None, None)
    assert facts["triggers"] == {"bursts": 0, "refused": {}}
    told = run(tmp_path / "store", "status").output
    assert "nothing waits" in told
    assert "never" in told


def _config(folder: Path) -> None:
    (folder / "config.yaml").write_text(
        f"unit: {{id: {UNIT}}}\nmqtt: {{host: b}}\nstorage: {{path: {folder / 'store'}}}\n"
    )


# --- beside a daemon, and without one ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["status", "events"])
def test_beside_a_daemon_in_the_middle_of_a_write(unit: Bench, verb: str) -> None:
    """It has the lock and an open transaction; who only looks neither waits nor disturbs."""
    before = run(unit, verb, "--json").output
    with unit.session.database.write() as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('in-flight', '1')")
        began_s = time.monotonic()
        during = run(unit, verb, "--json").output
        assert time.monotonic() - began_s < 5.0
    if verb == "events":
        assert during == before
    else:
        assert json.loads(during)["events"] == json.loads(before)["events"]


@pytest.mark.parametrize("verb", ["status", "events"])
def test_after_the_daemon_and_leaving_nothing_behind(tmp_path: Path, verb: str) -> None:
    with bench(tmp_path / "store") as made:
        made.burst()
    _config(tmp_path)
    before = _files(tmp_path / "store")
    assert run(tmp_path / "store", verb, "--json").exit_code == 0
    assert _files(tmp_path / "store") == before
    with bench(tmp_path / "store") as made:  # nothing holds it
        assert made.store.recovered.clean


def _files(root: Path) -> list[Path]:
    """But for what SQLite keeps beside the database while anybody looks."""
    return sorted(file for file in root.rglob("*") if not file.name.startswith("trapd.db-"))


@pytest.mark.parametrize("verb", ["status", "events"])
def test_where_there_is_no_store(tmp_path: Path, verb: str) -> None:
    """Before the first run: no wrong usage (2), but nothing to show (1), in a sentence; and none is made."""
    _config(tmp_path)
    with pytest.raises(Unavailable, match=f"{UNIT} has not run yet: there is no store in"):
        run(tmp_path / "store", verb)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("begun", ["nothing", "a file"])
@pytest.mark.parametrize("verb", ["status", "events", "audit"])
def test_at_a_very_first_start_the_store_is_being_made(tmp_path: Path, verb: str, begun: str) -> None:
    _config(tmp_path)
    root = tmp_path / "store"
    root.mkdir()
    if begun == "a file":
        (root / "trapd.db").touch()
    with (root / "lock").open("w") as lock:
        lock.write("1")  # another process, as it says itself
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=f"{UNIT} starts for the first time") as told:
            run(root, verb)
    assert told.value.hint == "ask again in a moment"


@pytest.mark.parametrize("verb", ["status", "events"])
def test_a_database_of_another_version_or_none_at_all(tmp_path: Path, verb: str) -> None:
    with bench(tmp_path / "store") as made, made.session.database.write() as connection:
        connection.execute("PRAGMA user_version = 999")
    _config(tmp_path)
    with pytest.raises(StoreError, match="newer trapd"):
        run(tmp_path / "store", verb)
    for file in (tmp_path / "store").glob("trapd.db*"):
        file.unlink()
    (tmp_path / "store" / "trapd.db").write_bytes(b"no database at all" * 500)
    with pytest.raises(StoreCorrupt):
        run(tmp_path / "store", verb)


# --- events ------------------------------------------------------------------------------------------------


def test_events_for_programs(unit: Bench) -> None:
    found = lines(unit)
    assert [line["seq"] for line in found] == [1, 2, 3, 4, 5, 6]
    assert [line["state"] for line in found] == [
        "delivered", "kept", "discarded", "kept", "kept", "captured",
    ]  # fmt: skip
    assert [line["n"] for line in found] == [1, 2, None, 3, 4, None]
    assert [line["verdict"] for line in found] == ["animal", "animal", "empty", "empty", "unknown", None]
    assert [line["score"] for line in found] == [0.912, 0.912, 0.02, 0.03, None, None]
    assert [line["audit"] for line in found] == [False, False, False, True, False, False]
    assert all(set(EVENT_FIELDS) <= set(line) for line in found)
    assert (found[4]["filter"]["model"], found[4]["filter"]["threshold"]) == ("none", None)
    first = found[0]
    event = unit.events()[0]
    assert first["id"] == f"{UNIT}-{unit.store.epoch}-000001" == event.id
    assert first["trigger"] == {"source": "pir", "sensor": "17"}
    assert first["filter"] == {"model": "default", "sha256": "cd" * 32, "threshold": 0.35, "ms": 41}
    assert first["detections"] == [
        {"frame": 0, "category": "animal", "conf": 0.912, "bbox": [0.1, 0.2, 0.3, 0.4]}
    ]
    assert first["frames"] == 3
    medium = event.media[0]
    assert first["media"][0] == {
        "id": medium.id,
        "type": "image/jpeg",
        "bytes": medium.bytes,
        "sha256": medium.sha256,
        "width": 64,
        "height": 36,
    }


def test_events_for_people(unit: Bench) -> None:
    told = run(unit, "events").output.splitlines()
    assert len(told) == 6
    first, *_, sample, unjudged, captured = [line.split() for line in told]
    assert first[1:] == [unit.events()[0].id, "animal", "0.91", "delivered"]
    assert sample[2:] == ["empty", "0.03", "kept", "audit"]
    assert unjudged[2:] == ["unknown", "-", "kept"]
    assert captured[2:] == ["-", "-", "captured"]


def test_where_there_is_nothing_to_list_people_are_told(unit: Bench) -> None:
    for arguments, said in (
        (["events", "--verdict", "vehicle"], "no such event is recorded\n"),
        (["status", "--trail"], "nobody has tried to control this unit from afar\n"),
    ):
        result = run(unit, *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)
        assert run(unit, *arguments, "--json").output == ""


def test_by_verdict(unit: Bench) -> None:
    assert [line["seq"] for line in lines(unit, "--verdict", "animal")] == [1, 2]
    assert [line["seq"] for line in lines(unit, "--verdict", "empty")] == [3, 4]
    assert lines(unit, "--verdict", "person") == []
    assert run(unit, "events", "--verdict", "bear").exit_code == 2


def test_the_newest_so_many_oldest_first(unit: Bench) -> None:
    assert [line["seq"] for line in lines(unit, "--limit", "2")] == [5, 6]
    assert [line["seq"] for line in lines(unit, "--limit", "1", "--verdict", "animal")] == [2]
    assert len(lines(unit, "--limit", "99")) == 6
    assert run(unit, "events", "--limit", "0").exit_code == 2


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system whose local time is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("shanghai")
def test_since(unit: Bench) -> None:
    """Bursts were taken 6, 5, ... 1 hours ago. A time without an offset is local."""
    assert [line["seq"] for line in lines(unit, "--since", "150m")] == [5, 6]
    assert [line["seq"] for line in lines(unit, "--since", "4h")][-3:] == [4, 5, 6]
    assert len(lines(unit, "--since", "2d")) == 6
    assert lines(unit, "--since", "60s") == []
    third = unit.events()[2].moment.wall_ms
    assert [line["seq"] for line in lines(unit, "--since", _rfc3339(third))] == [3, 4, 5, 6]
    local = datetime.fromtimestamp(third / 1000).astimezone()
    assert [line["seq"] for line in lines(unit, "--since", local.isoformat())] == [3, 4, 5, 6]
    naive = local.replace(tzinfo=None).isoformat(timespec="milliseconds")
    assert [line["seq"] for line in lines(unit, "--since", naive)] == [3, 4, 5, 6]
    assert len(lines(unit, "--since", "2020-01-01")) == 6
    assert lines(unit, "--since", "2999-01-01") == []
    assert [line["seq"] for line in lines(unit, "--since", "150m", "--limit", "1")] == [6]


@pytest.mark.parametrize(
    "text", ["yesterday", "5", "3w", "-3h", "", "2026-13-01", "9" * 30 + "d", "2026-11-22T25:00"]
)
def test_what_is_no_time_is_wrong_usage_and_told_how(unit: Bench, text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as caught:
        run(unit, "events", "--since", text)
    assert "12h" in caught.value.hint


def test_the_edges_of_the_calendar_are_times(unit: Bench) -> None:
    assert len(lines(unit, "--since", "0001-01-02T00:00Z")) == 6
    assert lines(unit, "--since", "9999-12-30T00:00Z") == []


def test_more_than_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read page by page, each once, in order."""
    monkeypatch.setattr(inspect, "_PAGE", 4)
    with bench(tmp_path / "store") as made:
        for number in range(11):
            event = made.burst(frames=1)
            made.session.events.settle(event.id, ANIMAL if number % 2 else EMPTY)
        _config(tmp_path)
        assert [line["seq"] for line in lines(made)] == list(range(1, 12))
        assert [line["seq"] for line in lines(made, "--verdict", "empty")] == [1, 3, 5, 7, 9, 11]
        assert [line["seq"] for line in lines(made, "--limit", "7")] == list(range(5, 12))


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """`trapd events | head -1` ends without a trace, though much more was to come."""
    with bench(tmp_path / "store") as made:
        moment = made.clock.now()
        for _ in range(5):
            made.session.events.record(
                seq=made.store.next_seq(),
                moment=moment,
                trigger=Trigger("pir", "17", moment.boot_ns),
                media=(),
                config="c" * 100_000,
                env={},
            )
    _config(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "trapd", "events", "--json", "--config", str(tmp_path / "config.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["seq"] == 1
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1
