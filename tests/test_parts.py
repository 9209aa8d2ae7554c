"""What a unit cannot do is known before a trial, where it can be known without touching what runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trapd import parts
from trapd.backends import abilities, gpio_chip
from trapd.config import Settings, settings_from
from trapd.errors import SensorUnavailable

PROPERTIES = {"Model": "imx708", "PixelArraySize": (4608, 2592)}
MOVABLE = {"AfMode": (0, 2, 0), "LensPosition": (0.0, 10.0, 1.0)}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A chip on which somebody else has pin 8; no camera was opened yet."""
    monkeypatch.setattr(abilities, "_camera", None)
    monkeypatch.setattr(gpio_chip, "find", lambda: Path("/dev/gpiochip0"))
    monkeypatch.setattr(
        gpio_chip, "holder", lambda chip, pin: {8: "spi0 CS0", 17: "lg", 24: "lg"}.get(pin, "")
    )
    yield


def settings(**sections: Any) -> Settings:
    document = {"unit": {"id": "ridge-07"}, "mqtt": {"host": "b"}, "filter": {"backend": "none"}, **sections}
    return settings_from(document, Path("/"))


def cannot(present: dict[str, Any] | None = None, **wanted: Any) -> dict[str, str]:
    return {
        fault.path: fault.message for fault in parts.cannot(settings(**(present or {})), settings(**wanted))
    }


def test_what_does_not_change_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not work now must not bar the way to its cure."""
    abilities.note_camera({**PROPERTIES, "PixelArraySize": (640, 480)}, {})

    def find() -> Path:
        raise SensorUnavailable("this machine has no GPIO chip", "use the timer")

    monkeypatch.setattr(gpio_chip, "find", find)
    assert cannot(burst={"frames": 5}) == {}
    assert cannot(sensor={"pins": [4]}) == {
        "sensor.pins[0]": "cannot be used here: this machine has no GPIO chip"
    }
    assert cannot(indicator={"led_pin": 4}).keys() == {"indicator.led_pin"}
    assert cannot({"sensor": {"backend": "timer"}}, sensor={"backend": "timer", "pins": [4]}) == {}


def test_more_pixels_than_the_camera_has() -> None:
    size = {"camera": {"size": [4610, 2592], "filter_size": [640, 360]}}
    assert cannot(**size) == {}  # nobody has seen the camera yet: the trial will
    abilities.note_camera(PROPERTIES, MOVABLE)
    assert cannot(**size) == {"camera.size": "is more than the 4608 x 2592 pixels of the camera imx708"}
    assert cannot(camera={"size": [4608, 2592]}) == {}


@pytest.mark.parametrize(
    ("controls", "focus", "said"),
    [
        (MOVABLE, 3.5, ""), (MOVABLE, 0.1, ""), (MOVABLE, 0.09, "is nearer than the lens"),
        ({}, 3.5, "has no effect"), ({}, "auto", ""), ({"AfMode": (0, 2, 0)}, 0.01, ""),
    ],
)  # fmt: skip
def test_a_focus_that_the_lens_does_not_have(controls: dict[str, Any], focus: Any, said: str) -> None:
    abilities.note_camera(PROPERTIES, controls)
    before = {"camera": {"focus": 9.0}}
    found = cannot(before, camera={"focus": focus})
    assert found.get("camera.focus", "").startswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    "properties", [{}, {"PixelArraySize": None}, {"PixelArraySize": (0, 0)}, {"PixelArraySize": "x"}]
)
def test_a_camera_that_does_not_say_is_left_to_the_trial(properties: dict[str, Any]) -> None:
    abilities.note_camera(properties, MOVABLE)
    assert cannot(camera={"size": [9998, 5624], "filter_size": [640, 360]}) == {}


def test_a_pin_that_somebody_else_has() -> None:
    assert cannot(sensor={"pins": [17, 8]}) == {"sensor.pins[1]": "pin 8 is in use by spi0 CS0"}
    assert cannot(indicator={"led_pin": 8}) == {"indicator.led_pin": "pin 8 is in use by spi0 CS0"}


def test_a_pin_of_a_bus_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link may hang on it: no roll-back would give it back before the next boot."""
    monkeypatch.setattr(abilities, "_DEVICES", tmp_path)
    assert cannot(indicator={"led_pin": 14}) == {}
    (tmp_path / "serial0").touch()
    assert cannot(indicator={"led_pin": 14}) == {"indicator.led_pin": "pin 14 is in use by the serial port"}
    assert cannot(sensor={"pins": [9]}) == {}
    (tmp_path / "spidev0.1").touch()
    assert cannot(sensor={"pins": [9]}) == {"sensor.pins[0]": "pin 9 is in use by SPI"}


def test_pins_that_the_unit_has_already_may_change_places() -> None:
    present = {"sensor": {"pins": [17]}, "indicator": {"led_pin": 24}}
    assert cannot(present, sensor={"pins": [24]}, indicator={"led_pin": 17}) == {}


def test_a_pin_with_a_resistor_that_pulls_the_other_way() -> None:
    assert cannot(sensor={"pins": [2]}).keys() == {"sensor.pins[0]"}
    assert cannot(sensor={"pins": [3], "active_high": False}) == {}
    low = {"sensor": {"pins": [2], "active_high": False}}
    assert cannot(low, sensor={"pins": [2], "active_high": True}).keys() == {"sensor.pins[0]"}


def test_a_model_that_is_not_here(tmp_path: Path) -> None:
    storage = {"path": str(tmp_path)}
    found = cannot({"storage": storage}, storage=storage, filter={"model": "nowhere"})
    assert found.keys() == {"filter.model"}
