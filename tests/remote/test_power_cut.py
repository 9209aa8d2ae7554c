"""The power is cut at every step of every way that a trial can go, and again while the next start tidies up.

Never a mixture, never a unit that does not start, always an end that is committed or rolled back.
"""

from __future__ import annotations

import time

import pytest

from tests.crash import operations as op
from tests.crash.disk import Way
from tests.crash.recording import Recording
from tests.figures import PROVE, tell
from tests.remote.cuts import recorded, sweep, sweep_second

pytestmark = [pytest.mark.slow, pytest.mark.rig]

DRAWS = 10 if PROVE else 1
SECOND_POINTS = 10**6 if PROVE else 8
RANDOM = (Way.ORDERED, Way.ANY, Way.HALVES)


@pytest.fixture(scope="module")
def life() -> Recording:
    return recorded()


def test_it_is_as_before_or_as_after_wherever_the_power_goes(life: Recording) -> None:
    """`Way.ALL` is what kill -9 leaves, at each of the same points."""
    began = time.monotonic()
    swept = sweep(life.operations, draws=DRAWS)
    drawn = sum(swept.states[way] for way in RANDOM)
    tell(f"remote configuration, power cut: {swept}, {drawn} random ({time.monotonic() - began:.0f} s)")
    assert not swept.breaches, str(swept)
    assert swept.points > 200
    assert swept.states[Way.ALL] == swept.points
    assert not PROVE or drawn > 2000


def test_the_same_when_it_goes_again_while_a_start_finishes_what_a_kill_left(life: Recording) -> None:
    """That start finds names that nobody has synced."""
    named = [n + 1 for n, each in enumerate(life.operations) if isinstance(each, op.Renamed | op.Unlinked)]
    chosen = named[:: max(1, len(named) // SECOND_POINTS)]
    began = time.monotonic()
    found = sweep_second(life.operations, chosen, draws=DRAWS // 3)
    points = sum(swept.points for swept in found.values())
    drawn = sum(swept.states[way] for swept in found.values() for way in RANDOM)
    tell(
        f"remote configuration, second cut: {len(chosen)} starts, {points} points,"
        f" {sum(swept.states.total() for swept in found.values())} states, {drawn} random"
        f" ({time.monotonic() - began:.0f} s)"
    )
    breached = {point: str(swept) for point, swept in found.items() if swept.breaches}
    assert not breached, breached
    assert points > len(chosen)
    assert not PROVE or drawn > 2000


def begun(life: Recording) -> int:
    """Right behind the line at which the first trial begins; no sync has seen it."""
    return 1 + next(
        n
        for n, each in enumerate(life.operations)
        if isinstance(each, op.Renamed) and each.new_path.endswith("/trial.json")
    )


@pytest.mark.parametrize("options", [(), ("--bug", "found-names-trusted")])
def test_a_start_makes_durable_what_it_finds_before_it_notes_it(
    life: Recording, options: tuple[str, ...]
) -> None:
    """Without that, the ledger may know of a trial whose file the power cut took."""
    (swept,) = sweep_second(life.operations, [begun(life)], draws=12, options=options).values()
    assert bool(swept.breaches) == bool(options), str(swept)


@pytest.mark.parametrize("bug", ["no-file-sync", "no-folder-sync", "trial-removed-first"])
def test_a_seeded_bug_is_found(bug: str) -> None:
    swept = sweep(recorded("--bug", bug).operations, draws=0, most_breaches=2)
    assert swept.breaches
    cut, found = next(iter(swept.breaches.items()))
    tell(f"remote configuration, seeded bug {bug}: found {cut}: {found[0].splitlines()[0]}")
