"""Every crash point of a recording: the states that a cut there can leave, each opened and checked.

A point is where the power may go: before the first call, and after each that changes the disk or the
promises. The points are shared out among processes. All that is drawn depends on the cut alone, so that
`rebuild` makes any state again.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import operations as op
from tests.crash.checker import Findings, check
from tests.crash.disk import MIXED, Disk, Way
from tests.crash.pool import PROCESSES, in_processes, scratch_place
from tests.crash.promises import Promises

STORE = "store"
Check = Callable[..., Findings]
_IN_TURN = (Way.NAMES_ONLY, Way.BYTES_ONLY, *MIXED)
_EXAMPLES = 3  # of each kind of recovery


@dataclass(frozen=True, slots=True)
class Depth:
    """Which of all states are opened. `every`: those of each so-manieth point alone.

    `draws` 0: of a point what was synced, everything, and one other way, all ways in turn. Else every way,
    the random ones so many times.
    """

    draws: int = 0
    every: int = 1


SHALLOW = Depth()


@dataclass(frozen=True, slots=True)
class Cut:
    """One crash state: after so many operations, in this way; `draw` tells random ones apart.

    `shallow`: the shallow depth has it too.
    """

    point: int
    way: Way
    draw: int = 0
    shallow: bool = True

    def __str__(self) -> str:
        return f"after operation {self.point}, {self.way.name.lower()} {self.draw}"


@dataclass(slots=True)
class Start:
    """Where a recording begins: what lies on the disk, and what was promised."""

    disk: Disk = field(default_factory=Disk)
    promises: Promises = field(default_factory=Promises)


@dataclass(slots=True)
class Swept:
    """`points`: how many there are. `states`: those opened, by way. `measured`: how many another depth has.

    `examples`: cuts by kind of recovery, shallow ones first.
    """

    points: int = 0
    states: Counter[Way] = field(default_factory=Counter)
    breaches: dict[Cut, list[str]] = field(default_factory=dict)
    examples: dict[tuple[str, ...], list[Cut]] = field(default_factory=dict)
    undone: int = 0
    measured: Counter[Depth] = field(default_factory=Counter)

    def add(self, other: Swept) -> None:
        """What else was found in the same recording."""
        self.points = max(self.points, other.points)
        self.states += other.states
        self.breaches |= other.breaches
        self.undone += other.undone
        self.measured |= other.measured
        for kind, cuts in other.examples.items():
            self._keep(kind, cuts)

    def note(self, cut: Cut, findings: Findings) -> None:
        """One state was opened."""
        self.states[cut.way] += 1
        self.undone += findings.undone
        self._keep(findings.kind, [cut])
        if findings.breaches:
            self.breaches[cut] = findings.breaches

    def _keep(self, kind: tuple[str, ...], cuts: list[Cut]) -> None:
        """The first of them, however the work was shared out."""
        found = [*self.examples.get(kind, []), *cuts]
        self.examples[kind] = sorted(found, key=_rank)[:_EXAMPLES]

    def __str__(self) -> str:
        ways = ", ".join(f"{count} {way.name.lower()}" for way, count in self.states.items())
        head = f"{self.points} points, {self.states.total()} states ({ways}), {len(self.breaches)} breached"
        worst = [f"  {cut}: {'; '.join(found)}" for cut, found in list(self.breaches.items())[:5]]
        return "\n".join([head, *worst])


def sweep(
    operations: Sequence[op.Operation],
    depth: Depth = SHALLOW,
    *,
    measure: Sequence[Depth] = (),
    most_breaches: int | None = None,
    since: int = 0,
) -> Swept:
    """Cut at every point in turn, on a disk that was empty before.

    `measure`: other depths whose states are counted only. `most_breaches`: so many are enough. `since`: pass
    over the points before this operation.
    """
    swept = Swept()
    jobs = [(tuple(operations), depth, measure, most_breaches, since, number) for number in range(PROCESSES)]
    for share in in_processes(_share, jobs):
        swept.add(share)
    return swept


def _share(
    operations: Sequence[op.Operation],
    depth: Depth,
    measure: Sequence[Depth],
    most: int | None,
    since: int,
    number: int,
) -> Swept:
    share = (number, PROCESSES)
    return sweep_here(
        operations, Start(), depth, measure=measure, share=share, most_breaches=most, since=since
    )


def sweep_here(
    operations: Sequence[op.Operation],
    start: Start,
    depth: Depth = SHALLOW,
    *,
    measure: Sequence[Depth] = (),
    share: tuple[int, int] = (0, 1),
    most_breaches: int | None = None,
    since: int = 0,
    check: Check = check,
) -> Swept:
    """The same in this process: share `share[0]` of `share[1]`. `start` goes on to the end."""
    logging.disable(logging.CRITICAL)  # a start that finds damage says so, thousands of times
    swept = Swept()
    disk, promises = start.disk, start.promises
    chosen, others = _Choice(depth), [_Choice(other) for other in measure]
    jobs = 0
    with tempfile.TemporaryDirectory(dir=scratch_place()) as scratch:
        for point in range(len(operations) + 1):
            if (point and not happen(disk, promises, operations[point - 1])) or point < since:
                continue
            if most_breaches is not None and len(swept.breaches) >= most_breaches:
                break
            swept.points += 1
            for other in others:
                swept.measured[other.depth] += sum(1 for _ in other.cuts(point, swept.points, start))
            for cut in chosen.cuts(point, swept.points, start):
                jobs += 1
                if jobs % share[1] == share[0]:
                    swept.note(cut, _try(disk, promises, cut, Path(scratch) / "disk", check))
    return swept


def rebuild(operations: Sequence[op.Operation], cut: Cut, to: Path) -> Start:
    """Lay out one crash state below `to`; gives where the next process begins.

    After kill -9 the disk goes on as it is, with all that is not synced yet; after a power cut what it holds
    is durable.
    """
    start = Start()
    happen_all(start.disk, start.promises, operations[: cut.point])
    _lay_out(start.disk, cut, to)
    if cut.way is not Way.ALL:
        start.disk = Disk.load(to)
        start.promises.counted = 0  # a power cut may take counts; it has
    return start


def happen(disk: Disk, promises: Promises, operation: op.Operation) -> bool:
    """One operation; True if a cut behind it is another than one before it."""
    if isinstance(operation, op.Said):
        promises.take(operation.word)
        return operation.kept
    return disk.apply(operation)


def happen_all(disk: Disk, promises: Promises, operations: Sequence[op.Operation]) -> None:
    """All of these."""
    for operation in operations:
        happen(disk, promises, operation)


class _Choice:
    """The cuts of one depth, from point to point."""

    def __init__(self, depth: Depth) -> None:
        self.depth = depth
        self._known: tuple[int, int] | None = None

    def cuts(self, point: int, number: int, start: Start) -> Iterator[Cut]:
        """Those of the `number`-th point, which is behind operation `point`."""
        if number % self.depth.every:
            return
        known = (start.disk.synced, start.promises.kept)
        if self._known != known:  # else the same state and the same promises as at the last point
            self._known = known
            yield Cut(point, Way.SYNCED)
        yield Cut(point, Way.ALL)
        if not start.disk.unsynced:
            return
        turn = _IN_TURN[number % len(_IN_TURN)]
        for way in _IN_TURN if self.depth.draws else (turn,):
            for draw in range(max(self.depth.draws, 1) if way in MIXED else 1):
                yield Cut(point, way, draw, shallow=way is turn and draw == 0)


def _rank(cut: Cut) -> tuple[bool, int, int, int]:
    return not cut.shallow, cut.point, list(Way).index(cut.way), cut.draw


def _lay_out(disk: Disk, cut: Cut, to: Path) -> None:
    drawn = random.Random(f"{cut.point} {cut.way.name} {cut.draw}")
    disk.cut(cut.way, drawn).write(to)
    if cut.way is not Way.SYNCED and (to / STORE).is_dir():
        # SQLite's index of the log is never synced and never trusted by the first process that opens it.
        (to / STORE / "trapd.db-shm").write_bytes(drawn.randbytes(32768))


def _try(disk: Disk, promises: Promises, cut: Cut, place: Path, check: Check) -> Findings:
    place.mkdir()
    try:
        _lay_out(disk, cut, place)
        return check(place / STORE, promises, process_only=cut.way is Way.ALL)
    finally:
        shutil.rmtree(place)
