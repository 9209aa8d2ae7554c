"""kill -9 at random points: what the process had said is there, and nothing is half done."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.figures import PROVE, tell
from tests.store.common import files_below, running
from trapd.records import State
from trapd.store import Session, Store

KILLS = 500 if PROVE else 20


def lines_of_a_killed_process(root: Path, seed: int) -> Iterator[list[str]]:
    """Everything the recorder said before it was killed, somewhere behind its n-th line."""
    drawn = random.Random(seed)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.recorder", str(root), str(seed)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        for _ in range(drawn.randint(1, 40)):
            yield child.stdout.readline().decode().split()
        end = time.perf_counter() + drawn.uniform(0, 0.004)
        while time.perf_counter() < end:
            pass
        child.kill()
        for line in child.stdout:
            yield line.decode().split()


class Said:
    """What all processes together have said."""

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.kept: dict[str, int] = {}
        self.discarded: set[str] = set()
        self.delivered: set[str] = set()
        self.acknowledged: set[int] = set()
        self.counted = 0
        self.epochs: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["open", epoch]:
                self.epochs.add(epoch)
            case ["recorded", name]:
                self.recorded.append(name)
            case ["kept", name, n]:
                self.kept[name] = int(n)
            case ["discarded", name]:
                self.discarded.add(name)
            case ["delivered", name]:
                self.delivered.add(name)
            case ["acknowledged", row]:
                self.acknowledged.add(int(row))
            case ["counted"]:
                self.counted += 1

    def holds(self, root: Path, store: Store, session: Session) -> None:
        events = {event.id: event for event in session.events.page(limit=10_000)}
        assert len(set(self.recorded)) == len(self.recorded)
        assert set(self.recorded) <= set(events)
        for name, n in self.kept.items():
            assert events[name].n == n
            assert events[name].state in (State.KEPT, State.DELIVERED)
        assert all(events[name].state is State.DISCARDED for name in self.discarded)
        assert all(events[name].state is State.DELIVERED for name in self.delivered)
        waiting = session.outbox.next(10_000, max_bytes=10**9)
        assert not self.acknowledged & {message.row for message in waiting}
        assert session.counters.all().get("refused.rate", 0) >= self.counted
        numbers = sorted(event.n for event in events.values() if event.n is not None)
        assert numbers == list(range(1, len(numbers) + 1))
        seqs = [event.seq for event in events.values()]
        assert seqs == sorted(set(seqs))
        due = {event.id for event in events.values() if event.state is State.KEPT}
        assert due == {message.event_id for message in waiting if message.leaf == "event"}
        assert self.epochs <= {store.epoch}
        assert store.recovered.set_aside is None
        files_are_sound(root, store, session)


def files_are_sound(root: Path, store: Store, session: Session) -> None:
    for event in session.events.page(limit=10_000):
        # An adopted photograph is summed before its event is judged, at the latest.
        assert event.state is State.CAPTURED or all(medium.sha256 for medium in event.media)
    while session.sums.some(100):
        pass
    expected = []
    for event in session.events.page(limit=10_000):
        assert event.media
        for medium in event.media:
            if medium.path is not None:
                assert hashlib.sha256(store.read(medium)).hexdigest() == medium.sha256
                expected.append(medium.path.removeprefix("media/"))
    assert files_below(root / "media") == sorted(expected)
    assert files_below(root / "tmp") == files_below(root / "orphans") == []
    assert store.recovered.media_missing == 0


@pytest.mark.slow
def test_nothing_said_is_lost_and_nothing_is_half_done(tmp_path: Path) -> None:
    said = Said()
    unclean = adopted = 0
    began = time.monotonic()
    for seed in range(KILLS):
        for words in lines_of_a_killed_process(tmp_path, seed):
            said.take(words)
        with running(tmp_path, max_bytes=10**9) as (store, session):
            said.holds(tmp_path, store, session)
            unclean += not store.recovered.clean
            adopted += store.recovered.adopted
    found = f"{len(said.recorded)} bursts recorded, 0 lost, {adopted} adopted"
    tell(f"store, kill -9: {KILLS} kills, {found} ({time.monotonic() - began:.0f} s)")
    assert unclean == KILLS
    assert len(said.recorded) > KILLS
    assert adopted <= KILLS
