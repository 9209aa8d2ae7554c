"""What edges amount to: pulses that count, and how long a pin has been active."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.backends.gpio_line import QUIET_NS, Line

MS = 1_000_000
SOON = 250 * MS  # so much later an edge is another pulse's


def test_any_pulse_counts_where_none_has_to_last() -> None:
    line = Line(17, 0)
    assert line.edge(True, 5) == 5
    assert line.due_ns is None
    assert line.edge(False, 6) is None
    assert line.edge(True, 7) == 7


def test_an_edge_to_what_the_line_was_already_is_a_pulse_that_was_over_before_anybody_looked() -> None:
    line = Line(17, 0)
    assert line.edge(False, 1 * SOON) == 1 * SOON
    assert line.since_ns is None
    assert line.edge(False, 2 * SOON) == 2 * SOON
    assert line.edge(True, 3 * SOON) == 3 * SOON
    assert line.edge(True, 4 * SOON) == 4 * SOON  # down and up again
    assert line.active
    assert Line(17, 1).edge(False, 1) is None  # nobody knows that it lasted


def test_both_edges_of_such_a_pulse_are_one() -> None:
    line = Line(17, 0)
    assert line.edge(False, 10 * MS) == 10 * MS
    assert line.edge(False, 15 * MS) is None


def test_an_edge_whose_level_was_read_before_it_was_heard_is_no_second_one() -> None:
    line = Line(17, 0)
    assert line.level(False, 1) is None
    assert line.level(True, 7 * SOON) == 7 * SOON
    assert line.edge(True, 7 * SOON - 5) is None
    assert line.level(False, 8 * SOON) is None
    assert line.edge(False, 8 * SOON - 5) is None
    assert line.edge(False, 9 * SOON) == 9 * SOON


def test_a_pulse_that_goes_on_counts_as_soon_as_it_has_lasted() -> None:
    line = Line(17, 30 * MS)
    assert line.edge(True, 100) is None
    assert (line.due_ns, line.since_ns) == (100 + 30 * MS, None)
    assert line.ripe(99 + 30 * MS) is None
    assert line.ripe(100 + 30 * MS) == 100
    assert (line.due_ns, line.since_ns) == (None, 100)
    assert line.ripe(100 + 40 * MS) is None  # once
    assert line.edge(False, 100 + 50 * MS) is None


@pytest.mark.parametrize(("lasted_ms", "counts"), [(29, False), (30, True), (31, True)])
def test_a_pulse_nobody_looked_at_meanwhile_is_measured_by_its_edges(lasted_ms: int, counts: bool) -> None:
    line = Line(17, 30 * MS)
    line.edge(True, 7)
    assert line.edge(False, 7 + lasted_ms * MS) == (7 if counts else None)
    assert line.ripe(10**12) is None


def test_short_pauses_do_not_end_a_time_of_activity() -> None:
    line = Line(17, 0)
    line.edge(True, 1000)
    line.edge(False, 2000)
    assert line.since_ns is None
    line.edge(True, 2000 + QUIET_NS - 1)
    assert line.since_ns == 1000
    line.edge(False, 2 * QUIET_NS)
    line.edge(True, 3 * QUIET_NS)
    assert line.since_ns == 3 * QUIET_NS


def test_a_pulse_too_short_to_count_is_no_activity_either() -> None:
    line = Line(17, 30 * MS)
    line.edge(True, 0)
    line.edge(False, 40 * MS)
    line.edge(True, QUIET_NS)
    line.edge(False, QUIET_NS + 1)
    line.edge(True, QUIET_NS + 50 * MS)
    line.ripe(QUIET_NS + 90 * MS)
    assert line.since_ns == QUIET_NS + 50 * MS


@given(st.integers(0, 50), st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.booleans()), max_size=60))
def test_each_pulse_counts_at_most_once_and_exactly_if_it_lasted(
    least: int, steps: list[tuple[bool, int, bool]]
) -> None:
    line = Line(17, least)
    now, rose, lasted, told = 1000, 0, [], []
    for active, after, looked in steps:
        now += after
        if active == line.active:
            continue
        if active and not line.active:
            rose = now
        elif not active and line.active and now - rose >= least:
            lasted.append(rose)
        told += [at for at in (line.edge(active, now),) if at is not None]
        if looked and line.active:
            told += [at for at in (line.ripe(now),) if at is not None]
    if line.active and now - rose >= least:
        lasted.append(rose)
        told += [at for at in (line.ripe(now),) if at is not None]
    assert told == lasted


PULSES = st.lists(
    st.tuples(
        st.integers(1, 150),  # how long it lasts, ms
        st.integers(300, 3000),  # until the next one begins, from its end
        st.tuples(st.integers(0, 60), st.integers(0, 60)),  # how late the kernel looks at each edge
        st.booleans(),  # whether two edges of which none was looked at are one interrupt
        st.integers(0, 100),  # how late the process hears
    ),
    min_size=1,
    max_size=12,
)


@given(PULSES, st.lists(st.integers(0, 40_000), max_size=60))
def test_however_late_the_kernel_looks_and_the_process_hears_each_pulse_is_told_once(
    pulses: list[tuple[int, int, tuple[int, int], bool, int]], looks: list[int]
) -> None:
    """Also where the level is read meanwhile."""
    line, high, heard = Line(17, 0), [], []
    now = 1000
    for lasts, pause, (late_up, late_down), one, hears in pulses:
        up, down = now, now + lasts
        high.append((up, down))
        read_up = up + late_up
        if one and read_up >= down:
            edges = [(down, read_up)]
        else:
            edges = [(up, read_up), (down, max(read_up, down + late_down))]
        heard += [(read + hears, 1, at, up <= read < down) for at, read in edges]
        now = down + pause
    steps = sorted(heard + [(look, 0, look, any(up <= look < down for up, down in high)) for look in looks])
    told = []
    for _, is_edge, at, level in steps:
        take = line.edge if is_edge else line.level
        told += [began for began in (take(level, at * MS),) if began is not None]
    assert len(told) == len(pulses)
    for began, (up, down) in zip(told, high, strict=True):
        assert up * MS <= began <= (down + 60) * MS
