"""Rules about several keys at once.

Each rule names the keys it reads, so that it is left out where one of them is itself at fault. Pure; called
by `trapd.config.checking` on every configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trapd.config.nearest import suggested_path
from trapd.config.schema import keys, sections
from trapd.errors import Fault
from trapd.frozen import Frozen
from trapd.settings.values import Settings

_MOST_SUGGESTIONS = 20  # each takes a while to find
SAME_ASPECT = 0.01  # sizes are even whole numbers: 4056 x 3040 and 640 x 480 mean the same


class Rule(Frozen):
    """A check over sound values of the keys it reads."""

    reads: frozenset[str]
    faults: Callable[[Settings], Iterator[Fault]]


def _replay_has_photographs(settings: Settings) -> Iterator[Fault]:
    if settings.camera.backend == "replay" and settings.camera.path is None:
        yield Fault("camera.path", "is required with camera.backend replay", "the folder of the photographs")


def _filter_sees_the_same_scene(settings: Settings) -> Iterator[Fault]:
    (width, height), (small_width, small_height) = settings.camera.size, settings.camera.filter_size
    size, small = f"{width} x {height}", f"{small_width} x {small_height}"
    if small_width > width or small_height > height:
        message = f"must not be larger than camera.size, is {small} against {size}"
        yield Fault("camera.filter_size", message, "the filter works on a small copy")
    elif abs(width * small_height / (height * small_width) - 1) > SAME_ASPECT:
        fitting = round(small_width * height / width / 2) * 2
        message = f"must have the same aspect as camera.size {size}, is {small}"
        yield Fault("camera.filter_size", message, f"[{small_width}, {fitting}] would fit")


def _coordinates_come_in_pairs(settings: Settings) -> Iterator[Fault]:
    unit = settings.unit
    if (unit.latitude is None) != (unit.longitude is None):
        missing, given = ("latitude", "longitude") if unit.latitude is None else ("longitude", "latitude")
        yield Fault(f"unit.{missing}", f"is required with unit.{given}", "give both, or neither")


def _certificate_has_its_key(settings: Settings) -> Iterator[Fault]:
    tls = settings.mqtt.tls
    if (tls.cert_file is None) != (tls.key_file is None):
        missing, given = ("cert_file", "key_file") if tls.cert_file is None else ("key_file", "cert_file")
        yield Fault(f"mqtt.tls.{missing}", f"is required with mqtt.tls.{given}", "give both, or neither")


def _one_use_a_pin(settings: Settings) -> Iterator[Fault]:
    pin = settings.indicator.led_pin
    if settings.sensor.backend == "gpiozero" and pin in settings.sensor.pins:
        yield Fault("indicator.led_pin", f"is the sensor's pin {pin} too", "give the LED a pin of its own")


def _reserve_fits_the_budget(settings: Settings) -> Iterator[Fault]:
    budget, reserve = settings.publish.bytes_per_day, settings.publish.alert_reserve_bytes
    if budget is not None and reserve > budget:
        yield Fault(
            "publish.alert_reserve_bytes",
            f"must not be more than publish.bytes_per_day {budget}, is {reserve}",
            "it is a part of the same budget",
        )


def _locks_name_keys(settings: Settings) -> Iterator[Fault]:
    known = keys().keys() | sections().keys()
    unknown = [
        (index, name) for index, name in enumerate(settings.remote.locked) if name not in known or not name
    ]
    for count, (index, name) in enumerate(unknown):
        hint = suggested_path(name) if count < _MOST_SUGGESTIONS else ""
        yield Fault(f"remote.locked[{index}]", "must name a key or a group of keys", hint)


RULES = tuple(
    Rule(frozenset(reads), faults)
    for faults, *reads in (
        (_replay_has_photographs, "camera.backend", "camera.path"),
        (_filter_sees_the_same_scene, "camera.size", "camera.filter_size"),
        (_coordinates_come_in_pairs, "unit.latitude", "unit.longitude"),
        (_certificate_has_its_key, "mqtt.tls.cert_file", "mqtt.tls.key_file"),
        (_one_use_a_pin, "sensor.backend", "sensor.pins", "indicator.led_pin"),
        (_reserve_fits_the_budget, "publish.bytes_per_day", "publish.alert_reserve_bytes"),
        (_locks_name_keys, "remote.locked"),
    )
)
