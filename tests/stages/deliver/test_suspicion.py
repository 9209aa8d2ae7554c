"""A broker that ends the link over one row: the others arrive, the row is kept; a bad link holds none."""

from __future__ import annotations

import json

import pytest

from tests.fakes.camera import jpeg
from tests.stages.driver import BASE, DEAD_AFTER_S, LIMIT, Bench, DeliverDriver
from trapd.records import Event, Kind, State
from trapd.stages.deliver.stage import DeliverPlan

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


def test_of_a_kind_that_always_ends_the_link_ten_rows_are_found_and_the_rest_waits(
    bench: Bench, link: DeliverDriver
) -> None:
    """Each costs six links; a hundred thousand of them would be one too many."""
    for _ in range(40):
        bench.session.outbox.put(Kind.TRAIL, "trail", b"not to be borne", retain=False)
    events = [bench.kept() for _ in range(5)]
    link.broker.ends_over = b"not to be borne"
    link.connect()
    some_minutes(link, of_s=2400.0)
    ended = link.broker.ended_over
    assert ended <= 65
    assert link.stage.held_back.kinds == {Kind.TRAIL: "ends the link"}
    assert all(states(bench)[event.id] is State.DELIVERED for event in events)
    some_minutes(link)
    assert link.broker.ended_over == ended
    link.broker.ends_over = b""
    link.stage.lift_rests()
    link.turn(20, after_s=0.2)
    assert link.waiting() == []
    assert bench.alerts.names() == ()


def test_many_bad_rows_among_many_good_ones_are_all_found(bench: Bench, link: DeliverDriver) -> None:
    for number in range(60):
        payload = b"not to be borne" if number % 10 == 3 else b"good"
        bench.session.outbox.put(Kind.TRAIL, "trail", payload, retain=False)
    link.broker.ends_over = b"not to be borne"
    link.connect()
    some_minutes(link, of_s=1800.0)
    assert link.waiting() == ["trail"] * 6
    assert link.stage.held_back.rows == 6
    assert link.broker.ended_over <= 6 * 8


def test_a_broker_that_ends_the_link_over_everything_has_nothing_held_for_it(
    bench: Bench, link: DeliverDriver
) -> None:
    """It is the broker then: once it has come to itself all goes at once."""
    events = [bench.kept() for _ in range(5)]
    link.broker.ends_over = b"trapd"
    link.connect()
    some_minutes(link, of_s=1800.0)
    assert "ends_link" not in bench.alerts.names()
    link.broker.ends_over = b""
    some_minutes(link, of_s=200.0)
    assert all(states(bench)[event.id] is State.DELIVERED for event in events)
    assert link.waiting() == []


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
