"""gpiozero's own pins without hardware, driven as by a sensor that is stronger than the pin's resistor."""

from __future__ import annotations

from typing import Any

from gpiozero.pins.mock import MockFactory, MockPin


class DrivenPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """Keeps the level it is driven to; the mock's own follows its resistor as soon as it is claimed.

    One that another process has cannot even be made, as lgpio's.
    """

    def __init__(self, factory: Any, info: Any) -> None:
        if info.name in factory.taken:
            raise OSError("GPIO busy")
        super().__init__(factory, info)

    def _set_pull(self, value: str) -> None:
        self._pull = value

    def _get_state(self) -> bool:
        if self.factory.unreadable:
            raise OSError(5, "Input/output error")
        return bool(super()._get_state())


class Pins:
    """`factory` is what a backend opens.

    Knobs: `fail` (raised when it is opened), `factory.unreadable`, `factory.taken` (what another process has:
    names of pins as GPIO17).
    """

    def __init__(self) -> None:
        self.opened = 0
        self.fail: Exception | None = None
        self.factory = MockFactory(revision="c03114", pin_class=DrivenPin)
        self.factory.unreadable = False
        self.factory.taken = frozenset()

    def open(self) -> Any:
        """As gpio_chip.open_factory."""
        self.opened += 1
        if self.fail is not None:
            raise self.fail
        return self.factory

    def high(self, pin: int) -> None:
        """The sensor drives the pin up."""
        self.factory.pin(pin).drive_high()

    def low(self, pin: int) -> None:
        """The sensor lets go."""
        self.factory.pin(pin).drive_low()

    def pulse(self, pin: int) -> None:
        """Up and down, as fast as it goes."""
        self.high(pin)
        self.low(pin)

    def lose(self, pin: int, level: bool) -> None:
        """The level changes and nobody is told."""
        self.factory.pin(pin)._state = level
