"""The LED on gpiozero's own pins without hardware."""

from __future__ import annotations

import pytest

from tests.fakes.pins import Pins
from trapd.backends.lamp_gpiozero import GpioLamp
from trapd.errors import SensorUnavailable


def test_it_lights_and_goes_dark() -> None:
    pins = Pins()
    lamp = GpioLamp(pin=27, factory=pins.open)
    lamp.light(True)
    assert pins.factory.pin(27).state
    lamp.light(False)
    assert not pins.factory.pin(27).state
    lamp.close()


def test_the_pin_is_claimed_at_the_first_light_and_given_back() -> None:
    pins = Pins()
    lamp = GpioLamp(pin=27, factory=pins.open)
    assert pins.opened == 0
    lamp.light(True)
    lamp.close()
    lamp.close()
    assert pins.factory.pins == {}
    lamp.light(True)
    assert pins.opened == 2
    lamp.close()


def test_a_pin_in_use_is_said_and_tried_again() -> None:
    from gpiozero import DigitalInputDevice

    pins = Pins()
    lamp = GpioLamp(pin=27, factory=pins.open)
    with (
        DigitalInputDevice(27, pin_factory=pins.factory),
        pytest.raises(SensorUnavailable, match="pin 27 is in use"),
    ):
        lamp.light(True)
    lamp.light(True)
    lamp.close()


def test_a_chip_that_refuses_is_said() -> None:
    pins = Pins()
    pins.fail = SensorUnavailable("no permission to use /dev/gpiochip0", "group gpio")
    with pytest.raises(SensorUnavailable, match="no permission"):
        GpioLamp(pin=27, factory=pins.open).light(True)


def test_a_write_that_fails_is_said_and_the_pin_claimed_anew() -> None:
    pins = Pins()
    lamp = GpioLamp(pin=27, factory=pins.open)
    lamp.light(False)

    def fails(value: object) -> None:
        raise OSError(5, "Input/output error")

    pins.factory.pin(27)._set_state = fails
    with pytest.raises(SensorUnavailable, match="pin 27 cannot be used"):
        lamp.light(True)
    lamp.light(True)
    assert pins.opened == 2
    lamp.close()
