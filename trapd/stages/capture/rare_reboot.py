"""A reboot that the unit asks for by itself: at most one in a day of running time. Capture's thread.

The day is counted down while trapd runs and kept in the store: a unit without a clock, and one that is
switched off at night, keeps to it as well. A count that a power cut loses is a minute at most, and makes the
wait longer.

One that does not come within a minute is taken back: it must not come later, when nobody expects it.
"""

from __future__ import annotations

import logging
from typing import Protocol

from trapd.errors import StoreCorrupt, StoreError
from trapd.ports import Clock
from trapd.rules import NS_PER_S
from trapd.store import Session

log = logging.getLogger("trapd.capture")

REST_S = 86_400.0
_KEY = "reboot_rest_s"
_REMEMBER_EVERY_S = 60.0
_COMES_WITHIN_S = 60.0


class Machine(Protocol):
    """Who reboots; see `trapd.host.power`."""

    def why_not(self) -> str:
        """Why it cannot be asked; empty where it can."""

    def ask(self) -> None:
        """Ask for it. Raises OSError."""

    def forget(self) -> None:
        """Take back what was asked for. Raises nothing."""


class RareReboot:
    """`forgotten`: the store was rebuilt and may have forgotten a reboot; then a whole rest begins."""

    def __init__(
        self,
        clock: Clock,
        machine: Machine,
        *,
        forgotten: bool = False,
    ) -> None:
        self._clock = clock
        self._machine = machine
        self._rest_s: float | None = REST_S if forgotten else None
        self._counted_ns = clock.boot_ns()
        self._asked_ns: int | None = None
        self._said = False

    def count_down(self, session: Session) -> None:
        """At every turn."""
        if self._rest_s is None:
            self._rest_s = _seconds(session.meta.get(_KEY))
        now_ns = self._clock.boot_ns()
        if self._asked_ns is not None and now_ns - self._asked_ns >= _COMES_WITHIN_S * NS_PER_S:
            self._asked_ns = None
            self._machine.forget()
            log.error("the reboot did not come: is trapd-reboot.path enabled? It is asked for again in a day")
        passed_s = (now_ns - self._counted_ns) / NS_PER_S
        if passed_s < _REMEMBER_EVERY_S:
            return
        self._counted_ns = now_ns
        if not self._rest_s:
            return
        self._rest_s = max(0.0, self._rest_s - passed_s)
        try:
            session.counters.remember(_KEY, f"{self._rest_s:.0f}")
        except StoreCorrupt:
            raise
        except StoreError as error:
            log.warning("how long ago the last reboot was is not written down: %s", error)

    def ask(self, session: Session, why: str) -> bool:
        """Ask for it unless there was one within a day; whether it comes. Raises StoreCorrupt."""
        if self._rest_s:
            return False
        if reason := self._machine.why_not():
            self._say(f"{why}; no reboot: {reason}")
            return False
        try:
            # Written down first, and durably: a unit must not reboot without end.
            session.meta.put(_KEY, f"{REST_S:.0f}")
            self._rest_s = REST_S
            self._asked_ns = self._clock.boot_ns()
            self._machine.ask()
        except StoreCorrupt:
            raise
        except (StoreError, OSError) as error:
            self._asked_ns = None
            self._machine.forget()  # half of a request is one
            self._say(f"{why}; no reboot: {error}")
            return False
        log.error("%s: the machine reboots", why)
        return True

    def _say(self, text: str) -> None:
        if not self._said:
            self._said = True
            log.error("%s", text)


def _seconds(text: str | None) -> float:
    """What is left of the rest; a value that cannot be read counts as a whole one."""
    if text is None:
        return 0.0
    try:
        return min(REST_S, max(0.0, float(text)))
    except ValueError:
        return REST_S
