"""The demo's arithmetic: what counts as kept, delivered, lost and repeated, and when the demo has failed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from trapd.demo.subscriber import Arrivals
from trapd.demo.tally import Summary, add_up, why_failed
from trapd.records import Event, Medium, Moment, State, Trigger, TsQuality


def event(root: Path, number: int, state: State) -> Event:
    """A recorded burst of one photograph, which lies on disk."""
    name = f"demo-unit-3f9a-{number:06d}"
    photograph = root / f"{name}.jpg"
    photograph.write_bytes(name.encode())
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return Event(
        id=name,
        unit="demo-unit",
        epoch="3f9a",
        seq=number,
        n=None,
        state=state,
        moment=Moment(0, 0, "boot", TsQuality.SYNCED),
        trigger=Trigger("timer", "timer", 0),
        verdict=None,
        media=(Medium(f"{name}-0", "image/jpeg", len(name), sha256, 1, 1, photograph.name),),
        config="",
        env={},
    )


def payload(sent: Event, sha256: str | None = None) -> bytes:
    """An event as it arrives."""
    media = [{"id": medium.id, "sha256": sha256 or medium.sha256} for medium in sent.media]
    return json.dumps({"id": sent.id, "media": media}).encode()


def summary(root: Path, events: list[Event], arrivals: Arrivals, refused: int = 0) -> Summary:
    return add_up({e.id: e for e in events}, refused, arrivals, root, outage_s=6.04, seconds=31.26)


def failure(root: Path, events: list[Event], arrivals: Arrivals, refused: int = 0) -> str | None:
    return why_failed(summary(root, events, arrivals, refused), {e.id: e for e in events}, arrivals)


def test_all_that_was_kept_arrived(tmp_path: Path) -> None:
    states = [State.DELIVERED, State.DISCARDED, State.KEPT, State.DISCARDED]
    events = [event(tmp_path, number, state) for number, state in enumerate(states)]
    arrivals = Arrivals()
    for sent in (events[0], events[2], events[0]):
        arrivals.note("event", payload(sent))
    assert summary(tmp_path, events, arrivals, refused=1) == Summary(
        triggers=5,
        bursts=4,
        kept=2,
        discarded=2,
        delivered=2,
        lost=0,
        duplicates=1,
        outage_s=6.0,
        seconds=31.3,
    )
    assert failure(tmp_path, events, arrivals) is None


@pytest.mark.parametrize("state", [State.KEPT, State.DELIVERED, State.CAPTURED])
def test_what_did_not_arrive_is_lost_whatever_the_unit_believes(tmp_path: Path, state: State) -> None:
    events = [event(tmp_path, 1, State.DELIVERED), event(tmp_path, 2, state)]
    arrivals = Arrivals()
    arrivals.note("event", payload(events[0]))
    counted = summary(tmp_path, events, arrivals)
    assert (counted.kept, counted.delivered, counted.lost) == (2, 1, 1)
    assert failure(tmp_path, events, arrivals) == "1 of the 2 bursts kept did not arrive whole"


def test_an_event_with_another_checksum_is_lost(tmp_path: Path) -> None:
    events = [event(tmp_path, 1, State.DELIVERED)]
    arrivals = Arrivals()
    arrivals.note("event", payload(events[0], sha256="0" * 64))
    assert summary(tmp_path, events, arrivals).lost == 1


def test_an_event_whose_photograph_has_gone_is_lost(tmp_path: Path) -> None:
    events = [event(tmp_path, 1, State.DELIVERED)]
    arrivals = Arrivals()
    arrivals.note("event", payload(events[0]))
    (tmp_path / "demo-unit-3f9a-000001.jpg").unlink()
    assert summary(tmp_path, events, arrivals).lost == 1


def test_a_discarded_burst_must_not_arrive(tmp_path: Path) -> None:
    events = [event(tmp_path, 1, State.DELIVERED), event(tmp_path, 2, State.DISCARDED)]
    arrivals = Arrivals()
    for sent in events:
        arrivals.note("event", payload(sent))
    assert failure(tmp_path, events, arrivals) == "1 event(s) arrived that the unit did not keep"


def test_nothing_kept_is_no_success(tmp_path: Path) -> None:
    assert failure(tmp_path, [], Arrivals(), refused=4) == "no burst was taken; 4 triggers were refused"
    discarded = [event(tmp_path, 1, State.DISCARDED)]
    assert "kept nothing" in str(failure(tmp_path, discarded, Arrivals()))


@pytest.mark.parametrize("bad", [b"", b"[]", b"{}", b'{"id": 1, "media": 2}', b"\xff"])
def test_an_event_that_cannot_be_read_fails_the_demo(tmp_path: Path, bad: bytes) -> None:
    events = [event(tmp_path, 1, State.DELIVERED)]
    arrivals = Arrivals()
    arrivals.note("event", payload(events[0]))
    arrivals.note("event", bad)
    assert arrivals.malformed == 1
    assert failure(tmp_path, events, arrivals) == "1 message(s) arrived that cannot be read"


def test_thumbnails_are_counted_and_other_leaves_ignored() -> None:
    arrivals = Arrivals()
    arrivals.note("thumb/demo-unit-3f9a-000001", b"\xff\xd8")
    arrivals.note("state", b"{}")
    assert arrivals.thumbnails == {"demo-unit-3f9a-000001"}
    assert not arrivals.events


def test_an_alert_stands_until_it_is_cleared() -> None:
    arrivals = Arrivals()
    arrivals.note("alert/camera", b'{"since": "", "message": "no camera", "hint": ""}')
    arrivals.note("alert/disk", b'{"since": "", "message": "full", "hint": ""}')
    arrivals.note("alert/camera", b"")
    assert arrivals.alerts == {"disk": "full"}


def test_a_thumbnail_that_did_not_arrive_fails_the_demo(tmp_path: Path) -> None:
    kept = replace(event(tmp_path, 1, State.DELIVERED), thumb=("thumbs/1.jpg", 9))
    arrivals = Arrivals()
    arrivals.note("event", payload(kept))
    assert failure(tmp_path, [kept], arrivals) == "1 thumbnail(s) of bursts kept did not arrive"
    arrivals.note(f"thumb/{kept.id}", b"\xff\xd8")
    assert failure(tmp_path, [kept], arrivals) is None
