"""What every Sensor promises, run over each backend."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.pins import Pins
from tests.fakes.sensor import FakeSensor
from trapd.backends.sensor_gpiozero import GpioSensor
from trapd.backends.sensor_timer import TimerSensor
from trapd.errors import SensorUnavailable
from trapd.host.clock import SystemClock
from trapd.ports import Sensor
from trapd.records import Trigger

WITHIN_S = 10.0


@dataclass(frozen=True)
class Rig:
    """A sensor, and how to make it see something."""

    sensor: Sensor
    provoke: Callable[[], None]
    now_ns: Callable[[], int]


@pytest.fixture(params=["fake", "timer", "gpiozero"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(backend: str) -> Iterator[Rig]:
    if backend == "fake":
        by_hand = FakeClock()
        fake = FakeSensor(by_hand)
        yield Rig(fake, fake.fire, by_hand.boot_ns)
        fake.close()
    elif backend == "gpiozero":
        clock = SystemClock()
        pins = Pins()
        gpio = GpioSensor(
            pins=[17], active_high=True, min_pulse_ms=0, clock=clock, factory=lambda: pins.factory
        )
        yield Rig(gpio, lambda: pins.pulse(17), clock.boot_ns)
        gpio.close()
    else:
        real = SystemClock()
        timer = TimerSensor(every_s=0.02, clock=real)
        yield Rig(timer, lambda: None, real.boot_ns)
        timer.close()


def test_a_trigger_reaches_the_sink_with_a_time_between_start_and_now(rig: Rig) -> None:
    seen: queue.Queue[Trigger] = queue.Queue()
    before_ns = rig.now_ns()
    rig.sensor.start(seen.put)
    rig.provoke()
    trigger = seen.get(timeout=WITHIN_S)
    assert before_ns <= trigger.boot_ns <= rig.now_ns()
    assert trigger.source in {"pir", "timer"}


def test_a_running_sensor_passes_its_check_and_a_closed_one_does_not(rig: Rig) -> None:
    rig.sensor.start(lambda trigger: None)
    rig.sensor.check()
    rig.sensor.close()
    with pytest.raises(SensorUnavailable):
        rig.sensor.check()


def test_nothing_comes_after_close_and_close_may_be_called_twice(rig: Rig) -> None:
    seen: queue.Queue[Trigger] = queue.Queue()
    rig.sensor.start(seen.put)
    rig.sensor.close()
    rig.sensor.close()
    while not seen.empty():
        seen.get_nowait()
    rig.provoke()
    assert not threading.Event().wait(0.1)
    assert seen.empty()


def test_it_can_be_started_again(rig: Rig) -> None:
    seen: queue.Queue[Trigger] = queue.Queue()
    rig.sensor.start(lambda trigger: None)
    rig.sensor.close()
    rig.sensor.start(seen.put)
    rig.provoke()
    assert seen.get(timeout=WITHIN_S)


def test_a_quiet_sensor_is_not_active(rig: Rig) -> None:
    rig.sensor.start(lambda trigger: None)
    assert rig.sensor.active() == ()
