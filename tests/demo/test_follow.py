"""What the demo knows of the messages under way, by the store and the receiver alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.demo.test_tally import event, payload
from trapd.demo.follow import Look
from trapd.demo.subscriber import Arrivals
from trapd.records import State


@pytest.mark.parametrize(
    ("waiting", "arrived", "accounted"),
    [
        ({"event": 2, "thumb": 2}, 0, True),
        ({"event": 1, "thumb": 2}, 0, False),  # the broker has an event
        ({"event": 1, "thumb": 1}, 0, False),
        ({"event": 1, "thumb": 1}, 1, True),
        ({"thumb": 1}, 2, True),
        ({}, 2, True),
        ({}, 1, False),
    ],
)
def test_what_has_not_arrived_and_does_not_wait_is_on_its_way(
    tmp_path: Path, waiting: dict[str, int], arrived: int, accounted: bool
) -> None:
    events = [
        replace(event(tmp_path, number, state), thumb=("t", 1))
        for number, state in enumerate((State.DELIVERED, State.KEPT))
    ]
    gone = replace(event(tmp_path, 2, State.DISCARDED), thumb=None)
    arrivals = Arrivals()
    for sent in events[:arrived]:
        arrivals.note("event", payload(sent))
        arrivals.note(f"thumb/{sent.id}", b"jpeg")
    look = Look(events={each.id: each for each in (*events, gone)}, queue=waiting)
    assert look.accounts_for(arrivals) == accounted
