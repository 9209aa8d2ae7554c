"""The window over a link of a given rate: how much of it is used, and how long answers take."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from trapd.wire.window import Limit, Window

LIMIT = Limit(messages=100, bytes=500_000)
AVAILABILITY_BYTES = 60  # what every link begins with


@dataclass
class Wire:
    """Bytes go out one after another at `rate`; each answer comes `delay_s` after the last byte."""

    rate: float
    delay_s: float
    free_at_s: float = 0.0
    answers: list[tuple[float, int]] = field(default_factory=list)

    def send(self, token: int, size_bytes: int, now_s: float) -> None:
        self.free_at_s = max(self.free_at_s, now_s) + size_bytes / self.rate
        heapq.heappush(self.answers, (self.free_at_s + self.delay_s, token))


@dataclass
class Run:
    sent_bytes: int = 0
    worst_age_s: float = 0.0
    worst_wait_s: float = 0.0  # of an alert behind what is in flight
    ages: list[float] = field(default_factory=list)


def run(
    wire: Wire, sizes: list[int], for_s: float, window: Window | None = None, begin_s: float = 0.0
) -> Run:
    """There is always something to send, of one size after another."""
    if window is None:
        window = Window(LIMIT)
        window.sent(0, AVAILABILITY_BYTES, begin_s)
        wire.send(0, AVAILABILITY_BYTES, begin_s)
        begin_s, _ = heapq.heappop(wire.answers)
        window.answered(0, begin_s)
    found, now_s, token, out = Run(), begin_s, 0, {}
    while now_s < begin_s + for_s:
        while window.fits(size := sizes[token % len(sizes)]):
            token += 1
            key = int(now_s * 1000) * 1_000_000 + token
            window.sent(key, size, now_s)
            wire.send(key, size, now_s)
            out[key] = (size, now_s)
            found.worst_wait_s = max(found.worst_wait_s, wire.free_at_s - now_s)
        now_s, key = heapq.heappop(wire.answers)
        size, at_s = out.pop(key)
        found.sent_bytes += size
        found.worst_age_s = max(found.worst_age_s, now_s - at_s)
        found.ages.append(now_s - at_s)
        window.answered(key, now_s)
    return found


@pytest.mark.parametrize("delay_s", [0.3, 0.6])
@pytest.mark.parametrize(
    "sizes",
    [[700], [24_576], [20_000, 700], [65_600], [700, 24_576, 65_600]],
    ids=["events", "thumbnails", "both", "chunks", "all"],
)
def test_a_thin_link_is_used_and_the_oldest_answer_stays_under_five_seconds(
    sizes: list[int], delay_s: float
) -> None:
    """32 kB/s and 300 ms, there and back or each way."""
    found = run(Wire(32_000, delay_s), sizes, 300.0)
    assert found.sent_bytes >= 0.9 * 32_000 * 300
    assert found.worst_age_s < 5.0


@pytest.mark.parametrize("rate", [4_000, 16_000, 128_000, 1_000_000])
@pytest.mark.parametrize("delay_s", [0.05, 0.7])
def test_other_links(rate: float, delay_s: float) -> None:
    found = run(Wire(rate, delay_s), [700, 5000], 600.0)
    assert found.sent_bytes >= min(0.85 * rate, 0.85 * LIMIT.messages * 2850 / delay_s) * 600
    assert found.worst_age_s < 5.0


@pytest.mark.parametrize("delay_s", [0.05, 0.6])
def test_a_very_thin_link_does_not_begin_with_too_much(delay_s: float) -> None:
    """2 kB/s."""
    found = run(Wire(2_000, delay_s), [700], 600.0)
    assert found.sent_bytes >= 0.9 * 2_000 * 600
    assert found.worst_age_s < 5.0


def test_a_fast_link_is_not_held_back() -> None:
    found = run(Wire(50_000_000, 0.001), [700], 2.0)
    assert found.worst_age_s < 0.1
    assert len(found.ages) >= 0.9 * LIMIT.messages / (0.001 + 700 * LIMIT.messages / 50e6) * 2.0


def test_a_link_that_becomes_thin_comes_back_under_five_seconds() -> None:
    window = Window(LIMIT)
    run(Wire(2_000_000, 0.05), [5000], 20.0, window)
    later = run(Wire(20_000, 0.3, free_at_s=20.0), [5000], 200.0, window, begin_s=20.0)
    assert max(later.ages[len(later.ages) // 3 :]) < 5.0


def test_an_alert_waits_behind_little_on_a_thin_link() -> None:
    assert run(Wire(32_000, 0.3), [700], 120.0).worst_wait_s < 2.5


def test_a_chunk_that_takes_longer_than_five_seconds_goes_alone() -> None:
    found = run(Wire(8_000, 0.3), [65_600], 300.0)
    assert found.worst_age_s < 10.0
    assert found.sent_bytes >= 0.85 * 8_000 * 300


def test_an_idle_link_does_not_widen_the_window() -> None:
    window = Window(LIMIT)
    before = window.pace.room_bytes
    for token in range(1000):
        window.sent(token, 700, token)
        window.answered(token, token + 0.1)
    assert window.pace.room_bytes == before


def test_answers_that_come_in_any_order_break_nothing() -> None:
    draw, window, out = random.Random(5), Window(LIMIT), []
    for step in range(5000):
        if window.fits(900) and draw.random() < 0.6:
            window.sent(step, 900, step * 0.01)
            out.append(step)
        elif out:
            window.answered(out.pop(draw.randrange(len(out))), step * 0.01)
        assert window.bytes == 900 * len(out) <= LIMIT.bytes
        assert 1.0 <= window.pace.room_bytes <= LIMIT.bytes
