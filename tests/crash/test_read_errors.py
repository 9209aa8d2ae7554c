"""A photograph that cannot be read for a while is not thrown away for it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, CONFIG, CONTEXT, files_below, frame, open_store, running
from trapd.records import Trigger


def test_a_photograph_that_cannot_be_summed_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    moment = clock.now()
    files = store.burst_files(
        store.next_seq(), moment, CONTEXT, trigger=Trigger("pir", "17", moment.boot_ns), config=CONFIG
    )
    for number in range(2):
        files.add(frame(moment, number))
    bad = Path(str(files.commit()[0].path)).name
    store.close(clean=False)  # named, not recorded: adopted by the next start, without sums
    right = Path.open

    def fails(self: Path, *given: Any, **named: Any) -> Any:
        if self.name == bad:
            raise OSError(errno.EIO, "Input/output error")
        return right(self, *given, **named)

    with running(tmp_path, clock) as (store, session):
        event = session.events.oldest_captured()
        assert event is not None
        with monkeypatch.context() as broken:
            broken.setattr(Path, "open", fails)
            settled = session.events.settle(event.id, ANIMAL)
        assert settled.n == 1
        assert [bool(medium.sha256) for medium in settled.media] == [False, True]
    with running(tmp_path, clock) as (store, _):
        assert store.recovered.evictions_finished == 0
        assert files_below(tmp_path / "orphans") == [bad]
