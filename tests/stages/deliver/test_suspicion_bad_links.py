"""Bad links end over anything, as if the broker had ended them: nothing is held for that."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from tests.stages.deliver.test_suspicion import some_minutes, states
from tests.stages.driver import Bench, DeliverDriver
from trapd.ports import Lost
from trapd.records import Kind, Message, State
from trapd.stages.deliver.declined import Declined
from trapd.stages.deliver.suspicion import Stand, Suspicion, UnderWay


@pytest.mark.parametrize(("seed", "mean_s"), [(1, 3.0), (2, 15.0), (3, 60.0)])
def test_a_link_that_breaks_at_any_time_holds_nothing(
    bench: Bench, link: DeliverDriver, seed: int, mean_s: float
) -> None:
    """However long it lives on average; resets look just as if the broker had ended it."""
    draw = random.Random(seed)
    link.broker.slow = "media/"
    for _ in range(3):
        bench.settled(bench.burst(frames=1), media=True)
    spent_s = 0.0
    while spent_s < 300.0:
        lives_s = draw.expovariate(1 / mean_s)
        spent_s += lives_s + 2.0
        link.connect()
        while lives_s > 0:
            bench.session.outbox.put(Kind.TRAIL, "trail", b"{}", retain=False)
            step_s = min(1.0, lives_s)
            link.turn(after_s=step_s)
            lives_s -= step_s
        link.broker.drop()
        link.turn(2)
    assert not link.stage._suspicion._held
    assert "ends_link" not in bench.alerts.names()
    link.broker.slow = ""
    link.connect()
    some_minutes(link)
    assert link.waiting() == []


@pytest.mark.parametrize("lives_s", [1.0, 4.0, 10.0, 20.0, 30.0])
def test_a_link_that_always_lives_as_long_holds_nothing(
    bench: Bench, link: DeliverDriver, lives_s: float
) -> None:
    """A way through the network that is cut every so often, and a row that takes longer each time."""
    link.broker.slow = "thumb/"
    bench.kept(thumb=True)
    for _ in range(12):
        link.connect()
        link.turn(int(lives_s / 0.5), after_s=0.5)
        link.broker.drop()
        link.turn(2)
    assert "ends_link" not in bench.alerts.names()
    link.broker.slow = ""
    link.connect()
    some_minutes(link)
    assert link.waiting() == []


def ways_to_go() -> Iterator[tuple[str, Lost]]:
    yield "silence", Lost("the broker has gone silent")
    yield "a time-out", Lost("the connection broke off: timed out")
    for code in (0x89, 0x8B, 0x8D, 0x93, 0x98):
        yield f"0x{code:02x}", Lost("the broker ended it", code, ended=True)


@pytest.mark.parametrize("lost", [lost for _, lost in ways_to_go()], ids=[name for name, _ in ways_to_go()])
def test_an_end_that_is_no_word_on_a_row_makes_no_suspect(
    bench: Bench, link: DeliverDriver, lost: Lost
) -> None:
    link.broker.slow = "event"
    bench.kept()
    for _ in range(10):
        link.connect()
        link.broker._break_links(lost, wills=True)
        link.turn(2)
    assert not link.stage._suspicion.active
    assert not link.stage._suspicion._common


def test_a_broker_that_restarts_again_and_again_holds_nothing_back_for_long(
    bench: Bench, link: DeliverDriver
) -> None:
    """Three restarts with the same rows under way make suspects of them: they are free a moment later."""
    link.broker.withhold = True
    events = [bench.kept() for _ in range(5)]
    for _ in range(4):
        link.connect()
        link.broker.stop()
        link.turn(2)
        link.broker.start()
    link.broker.release()
    link.connect()
    some_minutes(link, of_s=60.0)
    assert all(states(bench)[event.id] is State.DELIVERED for event in events)
    assert not link.stage._suspicion.active


# --- a bad link, many times over ------------------------------------------------------------------------


class Unsaid(Declined):
    """Alerts that nobody hears."""

    def __init__(self) -> None:
        pass

    def ends_link(self, names: Sequence[str]) -> None:
        pass


LINE = Message(7, Kind.EVENT, "event", retain=False)
BROKE_OFF = Lost("the connection broke off", ended=True)


def is_held(seed: int, mean_s: float, answer_s: float) -> bool:
    """One row over one link after another; each lives for so long on average and ends by a reset."""
    draw, now_ns = random.Random(seed), 0
    suspicion = Suspicion(Unsaid(), epoch="3f9a", within_s=5.0)
    for _ in range(200):
        suspicion.link_begins(now_ns, new_session=False)
        lives_s, sent_s = draw.expovariate(1 / mean_s), 0.0
        if suspicion.stand(LINE) is Stand.HELD:
            return True
        ended_ns = now_ns + int(lives_s * 1e9)
        if suspicion.active and suspicion.next_alone(now_ns) is None:
            while sent_s < lives_s and suspicion.next_alone(now_ns + int(sent_s * 1e9)) is None:
                sent_s += 0.5
        if sent_s < lives_s and suspicion.active:
            suspicion.sent_alone(LINE)
        if sent_s + answer_s <= lives_s:
            return False
        under_way = [UnderWay(LINE, lives_s - sent_s, 300)] if sent_s < lives_s else []
        suspicion.link_ended(
            under_way, BROKE_OFF, ended_ns, lived_s=lives_s, answered=True, taken_bytes=10**9
        )
        now_ns = ended_ns + 2 * 10**9
    return False


def rows_held() -> int:
    """Of 4,800 rows, over links that live for seconds or minutes, and are answered soon or late."""
    return sum(
        is_held(seed, mean_s, answer_s)
        for seed in range(200)
        for mean_s in (1.0, 5.0, 10.0, 20.0, 40.0, 200.0)
        for answer_s in (0.3, 3.0, 5.0, 10.0)
    )


def test_of_thousands_of_rows_over_bad_links_none_is_held() -> None:
    assert rows_held() == 0


def test_without_a_time_of_peace_bad_links_would_hold_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those links are bad enough to show it."""
    monkeypatch.setattr("trapd.stages.deliver.suspicion._CALM", 0.0)
    monkeypatch.setattr("trapd.stages.deliver.suspicion._LONGER", 0.0)
    assert rows_held() > 0
