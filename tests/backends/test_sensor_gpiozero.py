"""The PIR on gpiozero's own pins without hardware: edges, levels, and whatever may go wrong at a pin."""

from __future__ import annotations

import gc
import logging
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.pins import Pins
from trapd.backends import gpio_chip
from trapd.backends.sensor_gpiozero import GpioSensor
from trapd.errors import Broken, PinInUse, SensorUnavailable
from trapd.host.clock import SystemClock
from trapd.records import Trigger

WITHIN_S = 20.0


class Site:
    """A sensor, its pins, and what it told."""

    def __init__(self, pins: tuple[int, ...] = (17,), **options: Any) -> None:
        self.pins = Pins()
        self.seen: queue.SimpleQueue[Trigger] = queue.SimpleQueue()
        self.clock = SystemClock()
        settings = {"active_high": True, "min_pulse_ms": 0} | options
        self.sensor = GpioSensor(pins=pins, clock=self.clock, factory=self.pins.open, **settings)

    def start(self) -> None:
        self.sensor.start(self.seen.put)

    def told(self) -> list[str]:
        """The pins that triggered, in order, and forgotten with that."""
        found = []
        while not self.seen.empty():
            found.append(self.seen.get_nowait().sensor)
        return found


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.sensor.close()


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_each_edge_triggers_at_once(site: Site) -> None:
    site.start()
    for _ in range(100):
        site.pins.pulse(17)
    assert site.told() == ["17"] * 100


def test_a_trigger_has_the_time_of_its_edge(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it was heard of late: the library knows when it was."""
    site.start()
    before_ns = site.clock.boot_ns()
    monkeypatch.setattr(site.pins.factory, "ticks_diff", lambda later, earlier: 0.5)
    site.pins.high(17)
    late_ns = site.seen.get_nowait().boot_ns
    assert before_ns - 500_000_000 <= late_ns <= site.clock.boot_ns() - 500_000_000


@pytest.mark.parametrize("age_s", [-1.0, 1e9])
def test_an_edge_stamped_by_another_clock_has_the_present_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, age_s: float
) -> None:
    site.start()
    before_ns = site.clock.boot_ns()
    monkeypatch.setattr(site.pins.factory, "ticks_diff", lambda later, earlier: age_s)
    site.pins.high(17)
    assert before_ns <= site.seen.get_nowait().boot_ns <= site.clock.boot_ns()


def test_a_pin_that_is_active_at_start_triggers_then(site: Site) -> None:
    site.pins.high(17)
    site.start()
    assert site.told() == ["17"]
    assert [activity.trigger.sensor for activity in site.sensor.active()] == ["17"]
    site.pins.low(17)
    site.pins.high(17)
    assert site.told() == ["17"]


def test_any_of_many_pins_triggers_under_its_own_name() -> None:
    site = Site((17, 22, 27))
    site.pins.high(22)
    site.start()
    site.pins.pulse(27)
    site.pins.pulse(17)
    site.pins.high(17)
    assert site.told() == ["22", "27", "17", "17"]
    assert [activity.trigger.sensor for activity in site.sensor.active()] == ["17", "22"]
    site.sensor.close()


def test_a_sensor_that_pulls_its_pin_down() -> None:
    site = Site(active_high=False)
    site.pins.high(17)
    site.start()
    assert site.told() == []
    site.pins.low(17)
    assert site.told() == ["17"]
    assert site.pins.factory.pin(17).pull == "up"  # a cut cable is quiet
    site.sensor.close()


def test_a_pulse_shorter_than_the_least_does_not_trigger() -> None:
    site = Site(min_pulse_ms=3_600_000)
    site.start()
    site.pins.pulse(17)
    site.pins.high(17)
    assert site.sensor.active() == ()
    site.sensor.close()
    assert site.told() == []


def test_a_pulse_that_goes_on_triggers_while_it_does() -> None:
    site = Site(min_pulse_ms=20)
    site.start()
    before_ns = site.clock.boot_ns()
    site.pins.high(17)
    trigger = site.seen.get(timeout=WITHIN_S)
    after_ns = site.clock.boot_ns()
    assert before_ns <= trigger.boot_ns <= after_ns - 20_000_000
    assert len(site.sensor.active()) == 1
    site.sensor.close()


def test_an_exception_in_the_sink_does_not_end_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def sink(trigger: Trigger) -> None:
        calls.append(trigger)
        raise ZeroDivisionError

    site.sensor.start(sink)
    with caplog.at_level(logging.ERROR):
        site.pins.pulse(17)
        site.pins.pulse(17)
    assert len(calls) == 2
    assert "an edge of pin 17 came to nothing" in caplog.text


def test_nothing_is_told_by_an_edge_that_was_under_way_when_it_closed(site: Site) -> None:
    site.start()
    (watched,) = site.sensor._watched
    site.sensor.close()
    watched.heard(0.0, True)
    assert site.told() == []


def test_closing_gives_every_pin_back() -> None:
    """A process that begins anew in this one's place claims them again."""
    site = Site((17, 22))
    for _ in range(3):
        site.start()
        site.sensor.close()
        site.sensor.close()
        assert site.pins.factory.pins == {}
    assert site.pins.opened == 3


def test_a_start_that_fails_half_way_gives_back_what_it_had() -> None:
    site = Site((17, 2))
    for pin in (17, 2):
        site.pins.factory.pin(pin)._set_bounce = fails(OSError("broken"))
    with pytest.raises(SensorUnavailable, match="pin 17 cannot be used: broken"):
        site.start()
    assert site.pins.factory.pins == {}


def fails(error: Exception) -> Any:
    def call(*arguments: object) -> None:
        raise error

    return call


def test_a_level_whose_edge_got_lost_is_seen_at_the_next_look(site: Site) -> None:
    site.start()
    site.pins.lose(17, True)
    assert len(site.sensor.active()) == 1
    assert site.told() == ["17"]
    site.pins.lose(17, False)
    assert site.sensor.active() == ()


def test_a_level_that_was_read_before_an_edge_is_not_believed_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pulse comes and goes between the reading and what is made of it."""
    site.start()
    state = type(site.pins.factory.pin(17))._get_state

    def read_late(pin: Any) -> bool:
        monkeypatch.undo()
        site.pins.high(17)
        level: bool = state(pin)
        site.pins.low(17)
        return level

    monkeypatch.setattr(type(site.pins.factory.pin(17)), "_get_state", read_late)
    assert site.sensor.active() == ()
    assert site.told() == ["17"]


def test_a_pulse_that_was_over_when_the_kernel_looked_triggers_all_the_same(site: Site) -> None:
    """A real chip's: two edges, and each time the level is low again."""
    site.start()
    (watched,) = site.sensor._watched
    watched.heard(site.pins.factory.ticks(), False)
    assert site.told() == ["17"]


def test_a_pin_that_cannot_be_read_any_more_fails_the_check(site: Site) -> None:
    site.start()
    site.pins.factory.unreadable = True
    assert site.sensor.active() == ()
    with pytest.raises(SensorUnavailable, match="pin 17 cannot be used"):
        site.sensor.check()


def test_without_the_thread_of_edges_only_a_new_process_helps(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.start()
    monkeypatch.setattr(gpio_chip, "edges_come", lambda: False)
    with pytest.raises(Broken, match="no edges"):
        site.sensor.check()


def test_what_the_chip_refuses_is_said_and_the_next_start_tries_again(site: Site) -> None:
    site.pins.fail = SensorUnavailable("no permission to use /dev/gpiochip0", "group gpio")
    with pytest.raises(SensorUnavailable, match="no permission"):
        site.start()
    with pytest.raises(SensorUnavailable):
        site.sensor.check()
    site.pins.fail = None
    site.start()
    site.pins.pulse(17)
    assert site.told() == ["17"]


def test_a_pin_in_use_is_named(site: Site) -> None:
    from gpiozero import DigitalInputDevice

    with (
        DigitalInputDevice(17, pin_factory=site.pins.factory),
        pytest.raises(SensorUnavailable, match="pin 17 is in use") as found,
    ):
        site.start()
    assert "gpioinfo" in found.value.hint


def test_a_pin_in_use_does_not_silence_the_others_and_is_watched_as_soon_as_it_is_free() -> None:
    from gpiozero import DigitalInputDevice

    site = Site((27, 17))
    with DigitalInputDevice(27, pin_factory=site.pins.factory):
        site.start()
        for _ in range(2):
            with pytest.raises(SensorUnavailable, match="the other pins go on") as found:
                site.sensor.check()
            assert found.value.partly
            assert found.value.message.startswith("pin 27 is in use")
        site.pins.pulse(17)
        assert site.told() == ["17"]
    site.pins.high(27)  # before it is ours: a level, and no edge
    site.sensor.check()
    site.pins.low(27)
    site.pins.pulse(27)
    site.pins.pulse(17)
    assert site.told() == ["27", "27", "17"]
    site.sensor.close()
    assert site.pins.factory.pins == {}


def test_a_pin_that_another_process_gives_back_is_had_at_the_next_look(without_collector: None) -> None:
    """Not only when the collector comes by: gpiozero keeps it for the object that could not have it."""
    site = Site((27, 17))
    site.pins.factory.taken = {"GPIO27"}
    site.start()
    for _ in range(2):
        with pytest.raises(PinInUse, match="pin 27 is in use; the other pins go on"):
            site.sensor.check()
    site.pins.factory.taken = frozenset()
    site.sensor.check()
    site.pins.pulse(27)
    assert site.told() == ["27"]
    site.sensor.close()


@pytest.mark.parametrize("pins", [(27, 2, 17), (2, 27, 17), (27, 2)])
def test_of_two_pins_that_cannot_be_had_the_one_that_is_not_in_use_is_told(pins: tuple[int, ...]) -> None:
    """Nobody gives it back."""
    site = Site(pins)
    site.pins.factory.taken = {"GPIO27"}
    site.pins.factory.pin(2)._set_bounce = fails(OSError("broken"))

    def watch() -> None:
        site.start()
        site.sensor.check()

    with pytest.raises(SensorUnavailable, match="pin 2 cannot be used: broken") as found:
        watch()
    assert not isinstance(found.value, PinInUse)
    site.sensor.close()


def test_a_pin_whose_edges_cannot_be_had_is_given_back_and_the_others_go_on() -> None:
    site = Site((17, 2))
    site.pins.factory.pin(2)._set_bounce = fails(OSError("broken"))
    site.start()
    with pytest.raises(SensorUnavailable, match="pin 2 cannot be used: broken; the other pins go on"):
        site.sensor.check()
    del site.pins.factory.pin(2)._set_bounce
    site.sensor.check()
    site.pins.pulse(2)
    assert site.told() == ["2"]
    site.sensor.close()


def test_a_pin_that_the_board_does_not_have(site: Site) -> None:
    site = Site((99,))
    with pytest.raises(SensorUnavailable, match="pin 99 is no GPIO pin of this board"):
        site.start()


def test_edges_of_many_threads_are_each_told_once() -> None:
    numbers = (5, 6, 17, 22)
    site = Site(numbers)
    site.start()

    def drive(pin: int) -> None:
        for _ in range(200):
            site.pins.pulse(pin)

    threads = [threading.Thread(target=drive, args=(pin,)) for pin in numbers]
    for thread in threads:
        thread.start()
    for _ in range(2000):  # each look reads the levels too
        site.sensor.active()
    for thread in threads:
        thread.join(WITHIN_S)
    site.sensor.close()
    assert Counter(site.told()) == {str(pin): 200 for pin in numbers}
