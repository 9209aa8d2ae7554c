"""Alerts: one retained leaf each, written when something changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stages.driver import Bench
from trapd.errors import StoreError
from trapd.records import Kind
from trapd.stages.alerts import Alerts
from trapd.wire import codec


def told(bench: Bench, name: str) -> list[Any]:
    """What waits for the alert's leaf: documents, None where it is cleared."""
    return [json.loads(payload) if payload else None for payload in bench.leaf(f"alert/{name}")]


def fresh(bench: Bench) -> Alerts:
    """The alerts of another process on the same store."""
    return Alerts(bench.store, codec.alert, lambda: codec.rfc3339(bench.clock.now().wall_ms))


def test_a_raised_alert_says_since_when_what_and_what_to_do(bench: Bench) -> None:
    since = codec.rfc3339(bench.clock.now().wall_ms)
    bench.alerts.raise_("camera", "no camera answers", "look at the cable")
    assert told(bench, "camera") == [
        {"since": since, "message": "no camera answers", "hint": "look at the cable"}
    ]
    assert bench.alerts.names() == ("camera",)
    assert list(bench.session.outbox.retained()) == ["alert/camera"]


def test_the_same_again_writes_nothing(bench: Bench) -> None:
    bench.alerts.raise_("camera", "no camera", "look")
    before = [row.row for row in bench.session.outbox.next(10, max_bytes=10**6)]
    bench.clock.advance(60.0)
    bench.alerts.raise_("camera", "no camera", "look")
    assert [row.row for row in bench.session.outbox.next(10, max_bytes=10**6)] == before


def test_other_words_are_written_and_it_stands_since_the_first(bench: Bench) -> None:
    bench.alerts.raise_("camera", "no camera", "look")
    (first,) = told(bench, "camera")
    bench.clock.advance(60.0)
    bench.alerts.raise_("camera", "no frame", "look")
    (second,) = told(bench, "camera")
    assert (second["message"], second["since"]) == ("no frame", first["since"])


def test_cleared_is_an_empty_payload_and_the_next_one_begins_anew(bench: Bench) -> None:
    bench.alerts.raise_("camera", "no camera", "look")
    (first,) = told(bench, "camera")
    bench.alerts.clear("camera")
    assert (told(bench, "camera"), bench.alerts.names()) == ([None], ())
    bench.clock.advance(60.0)
    bench.alerts.raise_("camera", "no camera", "look")
    assert told(bench, "camera")[0]["since"] > first["since"]


def test_clearing_what_does_not_stand_writes_nothing(bench: Bench) -> None:
    bench.alerts.clear("camera")
    assert told(bench, "camera") == []


def test_each_name_stands_alone(bench: Bench) -> None:
    bench.alerts.raise_("sensor", "no pin", "")
    bench.alerts.raise_("camera", "no camera", "")
    bench.alerts.clear("sensor")
    assert bench.alerts.names() == ("camera",)


def test_an_alert_that_finds_no_room_is_tried_again_when_it_is_raised_again(bench: Bench) -> None:
    bench.store.faults.make("put")
    bench.alerts.raise_("disk", "no room", "free some")
    assert (told(bench, "disk"), bench.alerts.names()) == ([], ())
    bench.store.faults.end()
    bench.alerts.raise_("disk", "no room", "free some")
    assert told(bench, "disk")[0]["message"] == "no room"


def test_a_clearing_that_finds_no_room_is_tried_again(bench: Bench) -> None:
    """Or an alert that is over would stand at the broker for ever."""
    bench.alerts.raise_("disk", "no room", "free some")
    bench.store.faults.make("put")
    bench.alerts.clear("disk")
    assert (told(bench, "disk")[0]["message"], bench.alerts.names()) == ("no room", ("disk",))
    bench.store.faults.end()
    bench.alerts.clear("disk")
    assert (told(bench, "disk"), bench.alerts.names()) == ([None], ())


def test_a_store_that_is_broken_is_not_hidden(bench: Bench) -> None:
    bench.store.faults.make("put", StoreError("the disk failed", ""))
    with pytest.raises(StoreError):
        bench.alerts.raise_("disk", "no room", "")


def test_a_new_process_takes_over_what_the_earlier_one_raised(bench: Bench) -> None:
    """A fault that outlasts a power cut is told once, and stands since it began."""
    bench.alerts.raise_("camera", "no camera", "look")
    bench.alerts.raise_("sensor", "no pin", "look")
    (first,) = told(bench, "camera")
    rows = [row.row for row in bench.session.outbox.next(10, max_bytes=10**6)]
    bench.clock.advance(60.0)
    later = fresh(bench)
    later.take_over()
    assert later.names() == ("camera", "sensor")
    later.raise_("camera", "no camera", "look")
    later.clear_unclaimed()
    assert later.names() == ("camera",)
    assert told(bench, "camera") == [first]
    assert told(bench, "sensor") == [None]
    assert rows[-1] in [row.row for row in bench.session.outbox.next(10, max_bytes=10**6)]
    later.clear_unclaimed()
    assert later.names() == ("camera",)


def test_what_holds_no_longer_is_cleared_by_whoever_looks(bench: Bench) -> None:
    bench.alerts.raise_("camera", "no camera", "look")
    later = fresh(bench)
    later.take_over()
    later.clear("camera")
    assert (told(bench, "camera"), later.names()) == ([None], ())


def test_an_alert_that_lasts_is_nobodys_to_claim(bench: Bench) -> None:
    bench.alerts.raise_("disk", "no room", "free some")
    later = fresh(bench)
    later.take_over()
    later.clear_unclaimed()
    assert later.names() == ("disk",)


def test_a_damaged_alert_stands_since_now(bench: Bench) -> None:
    bench.session.outbox.put(Kind.ALERT, "alert/camera", b"no JSON", retain=True)
    bench.alerts.take_over()
    bench.alerts.raise_("camera", "no camera", "look")
    assert told(bench, "camera")[0]["since"] == codec.rfc3339(bench.clock.now().wall_ms)


def test_what_found_no_room_is_tried_again_though_nobody_speaks_of_it_any_more(bench: Bench) -> None:
    """The disk has room again: no trigger is refused any more, and the operator is to know that some were."""
    bench.store.faults.make("put")
    bench.alerts.raise_("disk", "no room", "free some")
    bench.alerts.store_again()
    assert bench.alerts.names() == ()
    bench.store.faults.end()
    bench.alerts.store_again()
    assert (told(bench, "disk")[0]["message"], bench.alerts.names()) == ("no room", ("disk",))


def test_what_was_over_before_anybody_heard_of_it_is_not_raised_later(bench: Bench) -> None:
    bench.store.faults.make("put")
    bench.alerts.raise_("camera", "no camera", "look")
    bench.store.faults.end()
    bench.alerts.clear("camera")
    bench.alerts.store_again()
    assert (told(bench, "camera"), bench.alerts.names()) == ([], ())


def test_a_full_store_at_start_ends_nothing_and_the_clearing_comes_later(bench: Bench) -> None:
    bench.alerts.raise_("camera", "no camera", "look")
    later = fresh(bench)
    later.take_over()
    bench.store.faults.make("put")
    later.clear("camera")
    assert later.names() == ("camera",)
    bench.store.faults.end()
    later.clear("camera")
    assert (told(bench, "camera"), later.names()) == ([None], ())
