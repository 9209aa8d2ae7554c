"""Photographs that had to make room before anybody had seen them."""

from __future__ import annotations

from tests.stages.deliver.test_media import make_unit, received
from tests.stages.driver import Bench
from trapd.parts import TOMBSTONES


def test_what_had_to_go_before_it_was_sent_is_told_in_its_place(bench: Bench) -> None:
    unit = make_unit(bench)
    event = bench.kept()
    bench.store.space._max_bytes = 1
    while bench.store.space.tidy(bench.session, 10, TOMBSTONES).events:
        pass
    unit.connect()
    unit.turn(10)
    manifest, chunks = received(unit, event.media[0].id)
    assert manifest == {"v": 1, "id": event.media[0].id, "lost": "space"}
    assert chunks == {}
    assert unit.leaves()[-1].startswith("media/")  # after all else
    assert unit.waiting() == []
    unit.close()
