"""What is allowed and still worth a word: risks, contradictions, and what this version does not do yet.

Pure, but for a look at which backends there are; called at load and by `trapd check`. A warning never stops
the daemon.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from trapd.errors import Fault
from trapd.settings.values import Class, Settings

_ID_PINS = (0, 1)
_PULLED_UP_PINS = (2, 3)


def warnings(settings: Settings, tells: frozenset[str] | None = None) -> tuple[Fault, ...]:
    """What the operator should know. `tells`: the classes the model can tell; None: not known."""
    found = [
        *_risks(settings),
        *_contradictions(settings),
        *_pins(settings),
    ]
    if tells is not None and settings.filter.backend != "none":
        found += _classes(settings, tells)
    return tuple(found)


def _risks(settings: Settings) -> Iterator[Fault]:
    if not settings.mqtt.tls.enabled:
        yield Fault(
            "mqtt.tls.enabled",
            "without TLS, whoever is on the way reads the events and the password",
            "enable it, or keep the link within a network of your own",
        )
    if settings.mqtt.protocol == "3.1.1" and settings.mqtt.delivery == "puback":
        yield Fault(
            "mqtt.protocol",
            "with 3.1.1 the broker cannot say that it refused an event, which is then lost",
            "use protocol 5, or delivery: receipt",
        )


def _contradictions(settings: Settings) -> Iterator[Fault]:
    for name in settings.publish.alert_classes:
        if name not in settings.filter.classes:
            yield Fault(
                "publish.alert_classes",
                f"{name} is not in filter.classes, so that no event of it is kept",
                f"add {name} to filter.classes",
            )
    if settings.burst.pre_trigger and settings.camera.backend == "replay":
        yield Fault(
            "burst.pre_trigger",
            "has no effect with camera.backend replay: its photographs have no time before the trigger",
            "leave it out",
        )


def _pins(settings: Settings) -> Iterator[Fault]:
    """Source: Raspberry Pi's description of the 40-pin header."""
    if settings.sensor.backend != "gpiozero":
        return
    for pin in settings.sensor.pins:
        if pin in _ID_PINS:
            yield Fault(
                "sensor.pins",
                f"pin {pin} is where the Pi asks an add-on board what it is: a sensor may disturb its start",
                "BCM numbers are meant, as the command pinout shows them; take another, such as 17",
            )
        elif pin in _PULLED_UP_PINS and settings.sensor.active_high:
            yield Fault(
                "sensor.pins",
                f"pin {pin} has a resistor of its own that pulls it up: it cannot be quiet when low",
                "take another pin, such as 17",
            )


def _classes(settings: Settings, tells: frozenset[str]) -> Iterator[Fault]:
    model = settings.filter.model
    unwanted = [name for name in get_args(Class) if name not in settings.filter.classes]
    for name in unwanted:
        if name not in tells:
            yield Fault(
                "filter.classes",
                f"leaves out {name}, which the model {model} cannot tell: nothing is discarded for being one",
                "choose a model that tells it, or keep all classes",
            )
    for name in settings.publish.alert_classes:
        if name not in tells:
            yield Fault(
                "publish.alert_classes",
                f"names {name}, which the model {model} cannot tell: no event is ever marked so",
                "choose a model that tells it",
            )
