"""What stands in for a camera or a sensor whose library is not on this machine.

The unit stays up, raises the alert and goes on trying: a camera that is missing is no fault of the
configuration, and a unit that is up can be told what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from trapd.errors import CameraUnavailable, SensorUnavailable
from trapd.records import Activity, Frame, Trigger

_INSTEAD = {"camera": "replay", "sensor": "timer"}


def why_absent(part: str, backend: str, error: Exception) -> tuple[str, str]:
    """Message and hint for the `part` (camera or sensor) whose `backend` could not be made.

    A module of trapd's own that is not there was never written: no package brings it.
    """
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("trapd."):
        what = f"the {part} backend {backend} is not part of this version"
        return what, f"use {part}.backend: {_INSTEAD[part]} until it is"
    return f"the {part} backend {backend} is not here: {error}", f"on a Pi: apt install python3-{backend}"


class AbsentCamera:
    """A Camera that says why there is none."""

    def __init__(self, why: str, hint: str) -> None:
        self._why = why
        self._hint = hint

    @property
    def passed_over(self) -> int:
        """None."""
        return 0

    def open(self) -> None:
        """Raises CameraUnavailable, always."""
        raise CameraUnavailable(self._why, self._hint)

    def shoot(self, trigger: Trigger, frames: int, interval_s: float) -> Iterator[Frame]:
        """Raises CameraUnavailable, always."""
        raise CameraUnavailable(self._why, self._hint)

    def probe(self) -> None:
        """Raises CameraUnavailable, always."""
        raise CameraUnavailable(self._why, self._hint)

    def facts(self) -> Mapping[str, float]:
        """None."""
        return {}

    def close(self) -> None:
        """Nothing is held."""


class AbsentSensor:
    """A Sensor that says why there is none."""

    def __init__(self, why: str, hint: str) -> None:
        self._why = why
        self._hint = hint

    def start(self, sink: Callable[[Trigger], None]) -> None:
        """Raises SensorUnavailable, always."""
        raise SensorUnavailable(self._why, self._hint)

    def active(self) -> tuple[Activity, ...]:
        """Never."""
        return ()

    def check(self) -> None:
        """Raises SensorUnavailable, always."""
        raise SensorUnavailable(self._why, self._hint)

    def close(self) -> None:
        """Nothing is held."""
