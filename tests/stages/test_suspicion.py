"""A broker that ends the link over one row: the others arrive, the row is kept; a bad link holds none."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import pytest

from tests.fakes.camera import jpeg
from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.ports import Lost
from trapd.records import Event, Kind, Message, State
from trapd.stages.declined import Declined
from trapd.stages.deliver import DeliverPlan
from trapd.stages.suspicion import Stand, Suspicion, UnderWay

PLAN = DeliverPlan(LIMIT, DEAD_AFTER_S)
HOUR_S, DAY_S = 3600.0, 86_400.0
HELD_WITHIN_S = 300.0


def states(bench: Bench) -> dict[str, State]:
    return {event.id: event.state for event in bench.events()}


def some_minutes(unit: DeliverDriver, *, of_s: float = HELD_WITHIN_S) -> None:
    unit.turn(int(of_s / 0.5), after_s=0.5)


def held(unit: DeliverDriver) -> bool:
    return "ends the link" in unit.stage.held_back.why


def until_held(unit: DeliverDriver) -> float:
    """Seconds until a row is held."""
    began_ns = unit.clock.boot_ns()
    for _ in range(2000):
        unit.turn(after_s=0.5)
        if held(unit):
            return (unit.clock.boot_ns() - began_ns) / 1e9
    raise AssertionError("nothing is held")


def poisoned(bench: Bench, unit: DeliverDriver, *, among: int = 10) -> Event:
    """Events of which the broker will never take one."""
    events = [bench.kept() for _ in range(among)]
    chosen = events[among // 2]
    unit.broker.ends_over = f'"{chosen.id}"'.encode()
    return chosen


@pytest.mark.parametrize("code", [None, 0x00, 0x81, 0x95, 0x99, 0x9B])
def test_the_row_that_ends_the_link_is_held_and_all_others_arrive(
    bench: Bench, link: DeliverDriver, code: int | None
) -> None:
    poison = poisoned(bench, link)
    link.broker.end_code = code
    link.connect()
    until_held(link)
    ended = link.broker.ended_over
    some_minutes(link)
    assert ended == link.broker.ended_over <= 6
    assert states(bench).pop(poison.id) is State.KEPT
    assert [event for event, state in states(bench).items() if state is not State.DELIVERED] == [poison.id]
    assert link.waiting() == ["event"]
    assert link.stage.held_back.rows == 1
    assert link.stage.held_back.why == {"ends the link"}
    assert "ends_link" in bench.alerts.names()
    alert = json.loads(link.broker.retained[f"{BASE}/alert/ends_link"])
    assert poison.id in alert["message"]


def test_the_others_go_on_while_it_is_not_sure_yet(bench: Bench, link: DeliverDriver) -> None:
    """From the third end on they wait for nothing but the tries."""
    poison = poisoned(bench, link)
    link.connect()
    while link.broker.ended_over < 3:
        link.turn(after_s=0.5)
    some_minutes(link, of_s=15.0)
    later = [bench.kept() for _ in range(5)]
    link.turn(4)
    assert all(states(bench)[event.id] is State.DELIVERED for event in later)
    assert states(bench)[poison.id] is State.KEPT
    assert not held(link)


def test_where_it_is_the_first_of_all_and_the_only_one_too(bench: Bench, link: DeliverDriver) -> None:
    bench.session.outbox.put(Kind.ALERT, "alert/odd", b"not to be borne", retain=True)
    link.broker.ends_over = b"not to be borne"
    link.connect()
    until_held(link)
    event = bench.kept()
    link.turn(4)
    assert states(bench)[event.id] is State.DELIVERED
    assert link.waiting() == ["alert/odd"]


def test_several_are_found_one_after_another(bench: Bench, link: DeliverDriver) -> None:
    events = [bench.kept() for _ in range(6)]
    for _ in range(3):
        bench.session.outbox.put(Kind.TRAIL, "trail", b"poison", retain=False)
    link.broker.ends_over = b"poison"
    link.connect()
    some_minutes(link, of_s=1200.0)
    assert set(states(bench).values()) == {State.DELIVERED}
    assert len(events) == 6
    assert link.waiting() == ["trail"] * 3
    assert link.stage.held_back.rows == 3


def test_a_broker_that_keeps_nothing_retained_still_gets_the_events(
    bench: Bench, link: DeliverDriver
) -> None:
    """It ends the link over each of them, whatever they hold: 0x9A."""
    for leaf in ("birth", "config/reported"):
        bench.session.outbox.put(Kind.CONTROL, leaf, b"kept by nobody", retain=True)
    link.broker.ends_over = b"kept by nobody"
    link.broker.end_code = 0x9A
    events = [bench.kept() for _ in range(6)]
    link.connect()
    some_minutes(link, of_s=900.0)
    assert all(states(bench)[event.id] is State.DELIVERED for event in events)
    assert set(link.waiting()) == {"birth", "config/reported"}
    bench.session.outbox.put(Kind.CONTROL, "birth", b"kept by nobody, anew", retain=True)
    before = link.broker.connects
    link.turn(20)
    assert link.broker.connects == before


# --- how it ends -----------------------------------------------------------------------------------------


@pytest.fixture
def found(bench: Bench, link: DeliverDriver) -> Event:
    """A row that is held."""
    poison = poisoned(bench, link)
    link.connect()
    until_held(link)
    link.turn(10)
    return poison


def test_after_a_day_it_is_tried_again_and_costs_one_link(
    bench: Bench, link: DeliverDriver, found: Event
) -> None:
    ended = link.broker.ended_over
    for _ in range(23):
        link.turn(4, after_s=HOUR_S / 4)
    assert link.broker.ended_over == ended
    some_minutes(link, of_s=2 * HOUR_S)
    assert link.broker.ended_over == ended + 1
    assert "ends_link" in bench.alerts.names()
    link.broker.ends_over = b""
    link.turn(26 * 4, after_s=HOUR_S / 4)
    assert states(bench)[found.id] is State.DELIVERED
    assert bench.alerts.names() == ()


def test_a_rebirth_tries_it_again_at_once(bench: Bench, link: DeliverDriver, found: Event) -> None:
    link.broker.ends_over = b""
    some_minutes(link)
    assert states(bench)[found.id] is State.KEPT
    link.stage.lift_rests()
    link.turn(5, after_s=0.2)
    assert states(bench)[found.id] is State.DELIVERED
    assert bench.alerts.names() == ()


def test_a_new_session_at_the_broker_tries_it_again(bench: Bench, link: DeliverDriver, found: Event) -> None:
    """But not with each link, where a broker keeps none."""
    link.broker.ends_over = b""
    for after_s, wanted in ((1.0, State.KEPT), (HOUR_S, State.DELIVERED)):
        link.turn(1, after_s=after_s)
        link.broker.stop()
        link.broker.start(keep=False)
        link.connect()
        some_minutes(link, of_s=60.0)
        assert states(bench)[found.id] is wanted


def test_it_is_still_held_in_the_next_process(bench: Bench, link: DeliverDriver, found: Event) -> None:
    ended = link.broker.ended_over
    link.close()
    bench.alerts.take_over()
    again = DeliverDriver(bench, link.broker)
    again.stage._suspicion.load(again.session, again.clock.boot_ns())
    bench.alerts.clear_unclaimed()
    again.connect()
    some_minutes(again)
    assert again.broker.ended_over == ended
    assert held(again)
    assert bench.alerts.names() == ("ends_link",)
    some_minutes(again, of_s=HOUR_S)
    assert again.broker.ended_over == ended + 1
    again.close()


def test_a_process_that_ends_in_the_middle_does_not_begin_anew(bench: Bench, link: DeliverDriver) -> None:
    """As many links are lost over it as without a restart after each."""
    poisoned(bench, link)
    driver = link
    for _ in range(8):
        before = driver.broker.ended_over
        for _ in range(400):
            driver.turn(after_s=0.5)
            if driver.broker.ended_over > before or held(driver):
                break
        if held(driver):
            break
        driver.turn()
        broker = driver.broker
        driver.close()
        driver = DeliverDriver(bench, broker)
        driver.stage._suspicion.load(driver.session, driver.clock.boot_ns())
    assert held(driver)
    assert driver.broker.ended_over <= 6
    driver.close()


def test_what_is_written_down_of_it_and_damaged_is_forgotten(bench: Bench, link: DeliverDriver) -> None:
    for text in ("no json", "[]", '{"epoch":1}', f'{{"epoch":"{bench.store.epoch}"}}'):
        bench.session.meta.put("suspicion", text)
        link.stage._suspicion.load(link.session, 0)
        assert not link.stage._suspicion.active


def test_a_held_row_that_goes_from_the_store_ends_the_alert(bench: Bench, link: DeliverDriver) -> None:
    bench.session.outbox.put(Kind.TRAIL, "trail", b"poison", retain=False)
    link.broker.ends_over = b"poison"
    link.connect()
    until_held(link)
    (row,) = [row.row for row in bench.session.outbox.next(10, max_bytes=10**6) if row.leaf == "trail"]
    bench.session.outbox.acknowledge([row])
    link.stage.lift_rests()
    link.turn(5, after_s=0.2)
    assert bench.alerts.names() == ()


# --- photographs -----------------------------------------------------------------------------------------


def test_chunks_that_only_are_too_large_get_smaller(
    bench: Bench, link: DeliverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker told no maximum, and says nothing when it ends the link."""
    link.broker.ends_over_bytes = 10_000
    monkeypatch.setattr("tests.stages.driver.jpeg", lambda shade: jpeg(640, 360, shade) + bytes(30_000))
    size_bytes = bench.settled(bench.burst(frames=1), media=True).media[0].bytes
    assert size_bytes > 30_000
    link.connect()
    some_minutes(link, of_s=600.0)
    assert link.waiting() == []
    assert bench.alerts.names() == ()


def test_a_photograph_that_ends_the_link_whatever_its_size_is_held(bench: Bench, link: DeliverDriver) -> None:
    event = bench.settled(bench.burst(frames=1), media=True)
    link.broker.ends_over = f"media/{event.media[0].id}/c/0".encode()
    link.connect()
    some_minutes(link, of_s=1800.0)
    other = bench.kept()
    link.turn(4)
    assert held(link)
    assert states(bench)[other.id] is State.DELIVERED


# --- a bad link ------------------------------------------------------------------------------------------


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
        suspicion.link_ended(under_way, BROKE_OFF, ended_ns, lived_s=lives_s, taken_bytes=10**9)
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
    monkeypatch.setattr("trapd.stages.suspicion._CALM", 0.0)
    monkeypatch.setattr("trapd.stages.suspicion._LONGER", 0.0)
    assert rows_held() > 0
