"""What this machine's camera and pins can do, as far as that is known without touching what runs.

For a configuration from afar, before it is tried: Control's thread asks, while Capture's has the camera and
the sensor's library the pins. Nothing is opened or claimed here. What is not known is left to the trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trapd.backends import gpio_chip
from trapd.errors import Fault, SensorUnavailable
from trapd.frozen import Frozen

_PULLED_UP = (2, 3)
"""Pins with a resistor of their own on every Raspberry Pi: of no use to a sensor that is active high."""


_DEVICES = Path("/dev")
_BUSES = (
    ("serial0", "the serial port", (14, 15)),
    ("i2c-1", "I2C", (2, 3)),
    ("spidev0.0", "SPI", (8, 9, 10, 11)),
    ("spidev0.1", "SPI", (7, 9, 10, 11)),
)
"""Devices that are there only where the kernel has given them these pins; it does not call them in use."""


class Lens(Frozen):
    """`nearest` in dioptres; None for one that cannot be moved."""

    nearest: float | None


class CameraAbilities(Frozen):
    """Of the camera that was opened last in this process. None where it did not say."""

    model: str
    pixels: tuple[int, int] | None = None
    lens: Lens | None = None


_camera: CameraAbilities | None = None  # libcamera's own list of cameras is the process's too


def note_camera(properties: Mapping[str, Any], controls: Mapping[str, Any]) -> None:
    """It is open: this is what it says of itself. Capture's thread; never raises."""
    global _camera  # noqa: PLW0603 - written whole by one thread, read by another
    model = str(properties.get("Model", "")) or "unknown"
    _camera = CameraAbilities(model, _pixels(properties.get("PixelArraySize")), _lens(controls))


def of_camera(
    *,
    size: tuple[int, int] | None = None,
    focus: str | float | None = None,
    now: CameraAbilities | None = None,
) -> Iterator[Fault]:
    """What it cannot do of these; None is not asked for. `now`: instead of what was noted."""
    camera = now or _camera
    if camera is None:
        return
    if size is not None and camera.pixels is not None:
        width, height = camera.pixels
        if size[0] > width or size[1] > height:
            message = f"is more than the {width} x {height} pixels of the camera {camera.model}"
            yield Fault("camera.size", message, f"[{width}, {height}] is all of it")
    if isinstance(focus, int | float) and camera.lens is not None:
        nearest = camera.lens.nearest
        if nearest is None:
            message = f"has no effect: the lens of the camera {camera.model} cannot be moved"
            yield Fault("camera.focus", message, "auto is right for it")
        elif 1 / focus > nearest > 0:
            message = f"is nearer than the lens of the camera {camera.model} can be set"
            yield Fault("camera.focus", message, f"{1 / nearest:.2f} m is its nearest")


def of_pins(wanted: Mapping[str, int]) -> Iterator[Fault]:
    """What cannot be claimed of these pins, each under its key. None is the unit's own already."""
    if not wanted:
        return
    try:
        chip = gpio_chip.find()
    except SensorUnavailable as error:
        for key in wanted:
            yield Fault(key, f"cannot be used here: {error.message}", error.hint)
        return
    for key, pin in wanted.items():
        if name := gpio_chip.holder(chip, pin) or _bus_on(pin):
            yield Fault(key, f"pin {pin} is in use by {name}", "use another pin")


def of_pulls(pins: Mapping[str, int], *, active_high: bool) -> Iterator[Fault]:
    """Which of a sensor's pins have a resistor that pulls against it."""
    for key, pin in pins.items():
        if active_high and pin in _PULLED_UP:
            message = f"pin {pin} has a resistor of its own that pulls the other way"
            yield Fault(key, message, "use another pin than 2 and 3")


def _bus_on(pin: int) -> str:
    """A modem or a clock may hang there, and claiming the pin would take it from them until the next boot."""
    for device, name, pins in _BUSES:
        if pin in pins and (_DEVICES / device).exists():
            return name
    return ""


def _pixels(size: Any) -> tuple[int, int] | None:
    try:
        width, height = size
        return (int(width), int(height)) if int(width) > 0 and int(height) > 0 else None
    except (TypeError, ValueError):
        return None


def _lens(controls: Mapping[str, Any]) -> Lens | None:
    if "AfMode" not in controls:
        return Lens(None)
    try:
        return Lens(float(controls["LensPosition"][1]))
    except (KeyError, TypeError, ValueError, IndexError):
        return None
