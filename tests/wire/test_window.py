"""What is in flight, how large a packet is, and when to try again."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from trapd.wire.window import Backoff, Limit, Window, publish_bytes

LIMIT = Limit(messages=4, bytes=1000)


def test_messages_bound_the_window() -> None:
    window = Window(LIMIT)
    for token in range(4):
        assert window.fits(10)
        window.sent(token, 10, 0.0)
    assert not window.fits(1)
    assert window.answered(2, 9.0)
    assert window.fits(10)


def test_bytes_bound_the_window() -> None:
    window = Window(LIMIT)
    window.sent(1, 900, 0.0)
    assert window.fits(100)
    assert not window.fits(101)


def test_a_message_larger_than_the_window_goes_alone() -> None:
    window = Window(LIMIT)
    assert window.fits(5000)
    window.sent(1, 5000, 0.0)
    assert not window.fits(1)
    assert window.answered(1, 9.0)
    assert window.fits(1)


def test_the_oldest_age_follows_what_is_still_out() -> None:
    window = Window(LIMIT)
    assert window.oldest_age_s(9.0) == 0.0
    window.sent(1, 10, 1.0)
    window.sent(2, 10, 3.0)
    assert window.oldest_age_s(9.0) == 8.0
    window.answered(1, 9.0)
    assert window.oldest_age_s(9.0) == 6.0
    window.clear()
    assert window.oldest_age_s(9.0) == 0.0
    assert (window.messages, window.bytes) == (0, 0)


def test_an_unknown_answer_changes_nothing() -> None:
    window = Window(LIMIT)
    window.sent(1, 10, 0.0)
    assert not window.answered(7, 9.0)
    assert (window.messages, window.bytes) == (1, 10)


def test_the_limit_may_shrink_below_what_is_out() -> None:
    window = Window(LIMIT)
    for token in range(3):
        window.sent(token, 10, 0.0)
    window.limit = Limit(1, 10)
    assert not window.fits(1)
    for token in range(3):
        window.answered(token, 9.0)
    assert window.fits(10)


@pytest.mark.parametrize(("receive_maximum", "messages"), [(65535, 4), (2, 2), (1, 1), (0, 1)])
def test_never_more_than_the_broker_takes(receive_maximum: int, messages: int) -> None:
    assert LIMIT.within(receive_maximum) == Limit(messages, 1000)


@given(st.lists(st.one_of(st.tuples(st.integers(0, 9), st.integers(0, 700)), st.integers(0, 9))))
def test_the_books_balance(steps: list[tuple[int, int] | int]) -> None:
    window = Window(LIMIT)
    out: dict[int, int] = {}
    for step in steps:
        if isinstance(step, int):
            assert window.answered(step, 9.0) is (out.pop(step, None) is not None)
        elif step[0] not in out and window.fits(step[1]):
            window.sent(step[0], step[1], 0.0)
            out[step[0]] = step[1]
        assert (window.messages, window.bytes) == (len(out), sum(out.values()))
        assert len(out) <= LIMIT.messages
        assert sum(out.values()) <= LIMIT.bytes or len(out) == 1


@pytest.mark.parametrize("payload_bytes", [0, 1, 90, 107, 108, 109, 16363, 16364, 16365, 300_000, 2_100_000])
def test_a_packet_is_as_large_as_paho_makes_it(payload_bytes: int) -> None:
    topic = "trapd/v1/unit/événement"[:20]
    written: list[bytes] = []
    client = Client(CallbackAPIVersion.VERSION2, "x", protocol=MQTTProtocolVersion.MQTTv5)
    client._sock = object()  # type: ignore[assignment]  # never written to

    def caught(_command: int, packet: bytes, *_: object) -> int:
        written.append(bytes(packet))
        return 0

    client._packet_queue = caught  # type: ignore[assignment]  # of its arguments these two count
    client._send_publish(1, topic.encode(), b"x" * payload_bytes, 1)
    client._sock = None
    assert publish_bytes(topic, payload_bytes) == len(written[0])


def outage(draw: random.Random, seconds: float) -> tuple[list[float], float]:
    """The delays of one outage, and how long after its end the next attempt came."""
    backoff, now_s, delays = Backoff(draw), 0.0, []
    while now_s < seconds:
        delays.append(backoff.failed(now_s))
        now_s += delays[-1]
    return delays, now_s - seconds


def test_a_short_outage_is_over_in_seconds() -> None:
    late = [outage(random.Random(seed), 20.0)[1] for seed in range(2000)]
    assert statistics.median(late) <= 2.5
    assert max(late) <= 5.0


def test_a_long_outage_is_asked_after_less_and_less() -> None:
    delays, late = outage(random.Random(1), 4 * 3600.0)
    assert 100.0 < max(delays) <= 120.0
    assert late <= 120.0
    assert 4 * 3600 / 120 <= len(delays) <= 400


@given(st.integers(), st.lists(st.floats(0, 500), max_size=60))
def test_delays_stay_under_their_ceiling(seed: int, pauses: list[float]) -> None:
    backoff, now_s = Backoff(random.Random(seed)), 1000.0
    first_s: float | None = None
    for pause_s in pauses:
        delay_s = backoff.failed(now_s)
        first_s = now_s if first_s is None else first_s
        assert 0.0 <= delay_s <= (5.0 if now_s - first_s < 120.0 else 120.0)
        now_s += delay_s + pause_s


def test_once_proved_the_next_outage_begins_anew() -> None:
    backoff = Backoff(random.Random(3))
    for minute in range(60):
        backoff.failed(minute * 60.0)
    backoff.proved()
    assert backoff.failed(4000.0) <= 1.0


def test_a_link_that_only_connects_proves_nothing() -> None:
    """Taken and dropped at once, again and again: the pauses grow all the same."""
    backoff, now_s, attempts = Backoff(random.Random(4)), 0.0, 0
    while now_s < 60.0:
        now_s += backoff.failed(now_s)
        attempts += 1
    assert attempts < 60


def test_a_hundred_units_do_not_come_back_as_one() -> None:
    returns = sorted(outage(random.Random(seed), 20.0)[1] for seed in range(100))
    busiest = max(sum(1 for at_s in returns if begin_s <= at_s < begin_s + 0.5) for begin_s in returns)
    assert busiest < 40
