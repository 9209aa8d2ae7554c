"""A machine that may be asked to reboot, and does not."""

from __future__ import annotations

from trapd.ports import Clock


class FakeMachine:
    """`reason`: why it cannot be asked; `error`: what asking raises."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked_ns: list[int] = []
        self.stands = False
        self.reason = ""
        self.error: OSError | None = None

    @property
    def asked(self) -> int:
        return len(self.asked_ns)

    def why_not(self) -> str:
        return self.reason

    def ask(self) -> None:
        if self.error is not None:
            raise self.error
        self.asked_ns.append(self._clock.boot_ns())
        self.stands = True

    def forget(self) -> None:
        self.stands = False
