"""What senses, sees and judges: each part is opened for a moment as the daemon would open it."""

from __future__ import annotations

from pathlib import Path

from trapd import parts
from trapd.doctor.finding import Finding
from trapd.errors import CameraInUse, PinInUse, Unavailable
from trapd.frozen import replace
from trapd.host.clock import SystemClock
from trapd.records import Trigger
from trapd.settings import Settings
from trapd.store import in_use

_CLOSER = "systemctl stop trapd, and ask again, for a closer look"


def model(settings: Settings) -> Finding:
    classifier = parts.configured_classifier(settings)
    if classifier is None:
        return Finding("filter", True, "none: every burst is kept")
    try:
        info = classifier.open()
    finally:
        classifier.close()
    tells = ", ".join(sorted(info.tells)) or "empty or not, no classes"
    return Finding("filter", True, f"model {info.name} passes its self-test; it tells {tells}")


def camera(settings: Settings) -> Finding:
    clock = SystemClock()
    found = parts.build_camera(settings, clock)
    try:
        found.open()
        frame = next(iter(found.shoot(Trigger("remote", "doctor", clock.boot_ns()), 1, 0.0)))
    except CameraInUse as error:
        if not _daemon_runs(settings):
            raise
        return Finding("camera", True, f"the daemon has it ({error.message})", _CLOSER, warning=True)
    finally:
        found.close()
    return Finding("camera", True, f"gave a frame of {frame.width} x {frame.height}")


def sensor(settings: Settings) -> Finding:
    """With the level of each pin as it is now, however long a pulse would have to last."""
    at_once = replace(settings, sensor=replace(settings.sensor, min_pulse_ms=0))
    found = parts.build_sensor(at_once, SystemClock())
    try:
        found.start(lambda trigger: None)  # noqa: ARG005 - nothing is to be done with it
        found.check()
        active = {activity.trigger.sensor for activity in found.active()}
    except PinInUse as error:
        if not _daemon_runs(settings):
            raise
        return Finding("sensor", True, f"the daemon has it ({error.message})", _CLOSER, warning=True)
    finally:
        found.close()
    if settings.sensor.backend == "timer":
        return Finding("sensor", True, f"timer answers, every {settings.sensor.every_s:g} s")
    levels = ", ".join(
        f"pin {pin} {'active' if str(pin) in active else 'quiet'} now" for pin in settings.sensor.pins
    )
    hint = "if nobody moves before it: see sensor.active_high, and the wiring" if active else ""
    return Finding("sensor", True, f"gpiozero answers; {levels}", hint, warning=bool(active))


def led(settings: Settings) -> Finding | None:
    """None where there is none. Without it the unit works."""
    lamp = parts.build_lamp(settings)
    if lamp is None:
        return None
    try:
        lamp.light(True)
    except Unavailable as error:
        if isinstance(error, PinInUse) and _daemon_runs(settings):
            return Finding("led", True, f"the daemon has it ({error.message})", _CLOSER, warning=True)
        return Finding("led", True, error.message, error.hint, warning=True)
    finally:
        lamp.close()
    return Finding("led", True, f"pin {settings.indicator.led_pin} was lit for a moment")


def _daemon_runs(settings: Settings) -> bool:
    return in_use(Path(settings.storage.path))
