"""An LED on a pin. The Indicator's thread alone; the pin is claimed at the first light."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trapd.backends import gpio_chip


class GpioLamp:
    """An LED on `pin` (BCM number), lit while the pin is high. `factory` as for GpioSensor."""

    def __init__(self, *, pin: int, factory: Callable[[], Any] = gpio_chip.open_factory) -> None:
        self._pin = pin
        self._open_factory = factory
        self._factory: Any = None
        self._led: Any = None

    def light(self, on: bool) -> None:
        """Raises SensorUnavailable, with the same sentences as a sensor's pin; the next call tries again."""
        if self._led is None:
            self._claim()
        try:
            self._led.value = int(on)
        except Exception as error:
            self.close()
            raise gpio_chip.refused(self._pin, error) from error

    def close(self) -> None:
        """Dark, and the pin given back; may be called twice."""
        led, self._led = self._led, None
        factory, self._factory = self._factory, None
        # Whatever the library says: there is nothing more to be done with the pin.
        for each in (led, factory):
            with suppress(Exception):
                if each is not None:
                    each.close()

    def _claim(self) -> None:
        self._factory = self._open_factory()
        from gpiozero import DigitalOutputDevice

        try:
            self._led = DigitalOutputDevice(self._pin, pin_factory=self._factory)
        except Exception as error:
            number = getattr(self._factory, "chip", None)
            chip = None if number is None else Path(f"/dev/gpiochip{number}")
            self.close()
            raise gpio_chip.refused(self._pin, error, chip) from error
