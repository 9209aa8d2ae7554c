"""Indicator: what a person in front of the unit sees of it, by one LED. One thread; only with a led_pin.

Lit while a burst is taken, and for a fifth of a second at least; else every ten seconds one short flash where
all is well, two where there is no link, three where something is wrong, none while disarmed. It looks and
never asks: no other stage waits for it, and an LED that fails is one line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from trapd.errors import Unavailable
from trapd.frozen import Frozen
from trapd.ports import Clock, Lamp
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage

log = logging.getLogger("trapd.indicator")

_TURN_S = 0.2
_EVERY_S = 10.0
_FLASH_S = 0.06
_PAUSE_S = 0.25
_RETRY_S = 60.0
FAULTS = frozenset({"camera", "disk", "model", "sensor", "sensor_pin", "sensor_stuck", "store"})
"""Alerts of what somebody in front of the unit may be able to mend."""


class Sight(Frozen):
    """What the unit is doing. `bursts`: how many it has begun, for one may be over between two looks."""

    taking: bool
    armed: bool
    online: bool
    alerts: Collection[str] = ()
    bursts: int = 0

    @property
    def flashes(self) -> int:
        """How often the LED flashes in ten seconds."""
        if FAULTS.intersection(self.alerts):
            return 3
        if not self.armed:
            return 0
        return 1 if self.online else 2


class Indicator(Stage):
    """`see` is called several times a second and only reads."""

    name = "indicator"

    def __init__(self, *, lamp: Lamp, see: Callable[[], Sight], clock: Clock) -> None:
        super().__init__()
        self._lamp = lamp
        self._see = see
        self._clock = clock
        self._lit = False
        self._flash_ns = 0
        self._retry_ns = 0
        self._failing = False
        self._bursts = 0

    def run(self) -> None:
        """Until told to stop; dark then."""
        try:
            while not self.stop.is_set():
                self.beat()
                self._turn()
                self._clock.wait(self.stop, _TURN_S)
        finally:
            self._lamp.close()

    def _turn(self) -> None:
        sight = self._see()
        now_ns = self._clock.boot_ns()
        taking = sight.taking or sight.bursts != self._bursts
        self._bursts = sight.bursts
        self._light(taking)
        if taking or now_ns < self._flash_ns:
            return
        self._flash_ns = now_ns + int(_EVERY_S * NS_PER_S)
        for _ in range(sight.flashes):
            self._light(True)
            self._clock.wait(self.stop, _FLASH_S)
            self._light(False)
            self._clock.wait(self.stop, _PAUSE_S)

    def _light(self, on: bool) -> None:
        if on == self._lit or self._clock.boot_ns() < self._retry_ns:
            return
        try:
            self._lamp.light(on)
        except Unavailable as error:
            self._retry_ns = self._clock.boot_ns() + int(_RETRY_S * NS_PER_S)
            log.log(logging.DEBUG if self._failing else logging.WARNING, "no LED: %s", error)
            self._failing = True
            self._lit = False
        else:
            self._lit = on
            self._failing = False
