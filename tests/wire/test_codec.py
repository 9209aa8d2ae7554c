"""Payloads: exactly the contract's fields, in its order, and nothing that JSON does not know."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.errors import BadDocument
from trapd.records import (
    Alert,
    Detection,
    Event,
    Medium,
    ModelInfo,
    Moment,
    State,
    Trigger,
    TsQuality,
    Verdict,
)
from trapd.wire import codec

# The example of the contract, section 3.
EXAMPLE = {
    "v": 1,
    "id": "wangqing-07-3f9a-000123",
    "unit": "wangqing-07",
    "epoch": "3f9a",
    "seq": 123,
    "n": 57,
    "ts": "2026-11-22T05:13:22.120Z",
    "ts_quality": "synced",
    "boot_id": "b",
    "mono_ms": 81234567,
    "trigger": {"source": "pir", "sensor": "17"},
    "verdict": "animal",
    "score": 0.91,
    "audit": False,
    "detections": [{"frame": 0, "category": "animal", "conf": 0.91, "bbox": [0.1, 0.2, 0.3, 0.4]}],
    "filter": {"model": "m", "sha256": "s", "threshold": 0.35, "ms": 41},
    "frames": 1,
    "media": [
        {
            "id": "wangqing-07-3f9a-000123-0",
            "type": "image/jpeg",
            "bytes": 812345,
            "sha256": "f",
            "width": 2304,
            "height": 1296,
        }
    ],
    "config": "sha256:c",
    "env": {"cpu_c": 31.2},
}
WALL_MS = 1_795_324_402_120


def event(**changes: Any) -> Event:
    made = Event(
        id="wangqing-07-3f9a-000123",
        unit="wangqing-07",
        epoch="3f9a",
        seq=123,
        n=57,
        state=State.KEPT,
        moment=Moment(WALL_MS, 81_234_567_890_123, "b", TsQuality.SYNCED),
        trigger=Trigger("pir", "17", 1),
        verdict=Verdict(
            verdict="animal",
            keep=True,
            score=0.91004,
            detections=(Detection(0, "animal", 0.90991, (0.100001, 0.2, 0.29999, 0.4)),),
            model="m",
            sha256="s",
            threshold=0.3499999940395355,
            ms=41,
            reason="for the log",
        ),
        media=(
            Medium(
                "wangqing-07-3f9a-000123-0", "image/jpeg", 812345, "f", 2304, 1296, "media/secret-path.jpg"
            ),
        ),
        config="sha256:c",
        env={"cpu_c": 31.2},
    )
    return replace(made, **changes)


def test_an_event_is_exactly_the_contracts() -> None:
    assert codec.event(event()) == json.dumps(EXAMPLE, separators=(",", ":")).encode()


def test_paths_and_reasons_stay_at_home() -> None:
    payload = codec.event(event())
    assert b"secret-path" not in payload
    assert b"for the log" not in payload


@pytest.mark.parametrize("changes", [{"n": None}, {"verdict": None}])
def test_an_event_that_is_not_due_is_not_published(changes: dict[str, Any]) -> None:
    with pytest.raises(BadDocument):
        codec.event(event(**changes))


def test_a_line_of_a_captured_event() -> None:
    line = codec.event_line(event(n=None, verdict=None, state=State.CAPTURED))
    assert list(line) == [*EXAMPLE, "state"]
    assert (line["n"], line["verdict"], line["score"], line["state"]) == (None, None, None, "captured")
    assert line["detections"] == []
    assert line["filter"] == {"model": None, "sha256": None, "threshold": None, "ms": None}


def test_a_line_without_a_filter() -> None:
    line = codec.event_line(event(verdict=Verdict("unknown", keep=True)))
    assert line["filter"]["model"] == "none"
    assert line["filter"]["threshold"] is None
    assert line["score"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_one_damaged_item(bad: float) -> None:
    with pytest.raises(BadDocument):
        codec.event(event(env={"cpu_c": bad}))


def test_half_a_character_is_one_damaged_item() -> None:
    with pytest.raises(BadDocument):
        codec.alert(Alert("x", "2026-11-22T00:00:00.000Z", "\ud800", ""))


def test_names_are_utf_8() -> None:
    payload = codec.alert(Alert("disk", "2026-11-22T00:00:00.000Z", "珲春 full", "räumen"))
    assert "珲春".encode() in payload
    assert json.loads(payload) == {
        "since": "2026-11-22T00:00:00.000Z",
        "message": "珲春 full",
        "hint": "räumen",
    }


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (WALL_MS, "2026-11-22T05:13:22.120Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times(wall_ms: int, text: str) -> None:
    assert codec.rfc3339(wall_ms) == text


@given(st.integers())
def test_any_clock_gives_a_time_or_a_damaged_item(wall_ms: int) -> None:
    try:
        text = codec.rfc3339(wall_ms)
    except BadDocument:
        assert not -62_135_596_800_000 <= wall_ms <= 253_402_300_799_999
    else:
        assert len(text) == len("2026-11-22T05:13:22.120Z")


def birth(location: tuple[float, float] | None = (43.312345, 129.771234), precision_km: float = 2) -> bytes:
    return codec.birth(
        unit="wangqing-07",
        name="Wangqing ridge 7",
        station="ridge-7",
        groups=("valley",),
        version="0.1.0",
        python="3.11.7",
        model=ModelInfo("default", "s", 0.35, frozenset({"person", "animal"}), "lite0", "320x320"),
        config="sha256:c",
        epoch="3f9a",
        started=Moment(WALL_MS, 1, "b", TsQuality.RTC),
        protocol="5",
        location=location,
        location_precision_km=precision_km,
    )


def test_birth_says_who_and_what() -> None:
    said = json.loads(birth())
    assert said["v"] == 1
    assert said["groups"] == ["valley"]
    assert said["started"] == "2026-11-22T05:13:22.120Z"
    assert (said["boot_id"], said["ts_quality"], said["epoch"]) == ("b", "rtc", "3f9a")
    assert said["model"]["tells"] == ["animal", "person"]
    assert json.loads(birth(location=None))["location"] is None


def test_the_exact_position_never_leaves_the_unit() -> None:
    place = json.loads(birth())["location"]
    assert place["precision_km"] == 2
    assert 0 < abs(place["latitude"] - 43.312345) < 0.02
    assert b"43.3123" not in birth()
    assert b"129.7712" not in birth()


def test_the_heartbeat_is_flat_and_numeric() -> None:
    at = Moment(WALL_MS, 1, "b", TsQuality.SYNCED)
    payload = codec.state(
        at, {"armed": True, "cpu_c": 31.2, "queue_event": 7, "phase": "local", "rssi": None}
    )
    assert json.loads(payload) == {
        "v": 1,
        "ts": "2026-11-22T05:13:22.120Z",
        "ts_quality": "synced",
        "armed": 1,
        "cpu_c": 31.2,
        "queue_event": 7,
        "phase": "local",
    }
    assert b'"armed":1,' in payload


def test_clock_and_tombstone() -> None:
    assert codec.clock("b", -3, TsQuality.SYNCED) == b'{"boot_id":"b","offset_ms":-3,"ts_quality":"synced"}'
    assert codec.tombstone("u-3f9a-000007", "3f9a", 7, "space") == (
        b'{"v":1,"id":"u-3f9a-000007","epoch":"3f9a","n":7,"lost":"space"}'
    )


def test_a_cleared_alert_is_an_empty_payload() -> None:
    assert codec.CLEARED == b""
    assert codec.Availability.OFFLINE.encode() == b"offline"
