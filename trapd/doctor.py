"""What is missing on this unit, one finding at a time, each with what to do about it.

Called by the verb `doctor`. It opens each part for a moment as the daemon would, and leaves nothing behind.
While the daemon runs, camera and pins are its own: those findings then say so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trapd import parts
from trapd.backends import uplink_reasons
from trapd.config import Loaded, Settings, mqtt_password
from trapd.errors import CredentialUnavailable, TrapdError
from trapd.host.clock import SystemClock
from trapd.ports import Connected, LinkEvent, Lost
from trapd.records import Trigger, TsQuality

_ANSWER_WITHIN_S = 20.0
_LATER = "the unit works without the broker and delivers later"
_WAITS = "until that is mended nothing is delivered: it waits on the card"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `ok` False: the unit would not work. `warning`: it would; it is worth a look."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    warning: bool = False


def examine(loaded: Loaded) -> Iterator[Finding]:
    """Look at each part in turn; a part that breaks the looking is a finding too."""
    settings = loaded.settings
    for warning in loaded.warnings:
        yield Finding("configuration", True, f"{warning.path}: {warning.message}", warning.hint, warning=True)
    looks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("storage", _storage),
        ("disk", _disk),
        ("clock", _clock),
        ("filter", _filter),
        ("camera", _camera),
        ("sensor", _sensor),
        ("credential", _credential),
        ("broker", _broker),
    )
    for name, look in looks:
        try:
            yield look(settings)
        except TrapdError as error:
            yield Finding(name, False, error.message, error.hint)
        except Exception as error:
            # Whatever one part does, the others are looked at.
            yield Finding(name, False, f"{type(error).__name__}: {error}", "")


def _storage(settings: Settings) -> Finding:
    path = Path(settings.storage.path)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        # A real entry: permissions do not tell of a disk that is read-only, or a folder of the kernel's.
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-"):
            pass
    except OSError as error:
        return Finding(
            "storage",
            False,
            f"{existing} cannot be written: {error.strerror}",
            "run as the unit's user, or set storage.path",
        )
    return Finding("storage", True, f"{path} can be written")


def _disk(settings: Settings) -> Finding:
    path = Path(settings.storage.path)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    floor = settings.storage.min_free_bytes
    message = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free <= floor:
        return Finding("disk", False, message, "free some space, or lower storage.min_free_bytes")
    if settings.storage.max_bytes > usage.total:
        return Finding("disk", True, message, "storage.max_bytes is more than the disk; the floor holds")
    return Finding("disk", True, message)


def _clock(_: Settings) -> Finding:
    quality = SystemClock().quality()
    hints = {
        TsQuality.UNSET: "times are wrong until the network or a clock module sets them; events say so",
        TsQuality.ESTIMATED: "no time server and no clock module: times may be off; events say so",
    }
    return Finding("clock", True, f"the time is {quality}", hints.get(quality, ""))


def _filter(settings: Settings) -> Finding:
    if settings.filter.backend == "none":
        return Finding("filter", True, "none: every burst is kept")
    classifier = parts.configured_classifier(settings)
    if classifier is None:
        return Finding("filter", True, "none: every burst is kept")
    try:
        info = classifier.open()
    finally:
        classifier.close()
    tells = ", ".join(sorted(info.tells)) or "empty or not, no classes"
    return Finding("filter", True, f"model {info.name} passes its self-test; it tells {tells}")


def _camera(settings: Settings) -> Finding:
    clock = SystemClock()
    camera = parts.build_camera(settings, clock)
    try:
        camera.open()
        frame = next(iter(camera.shoot(Trigger("remote", "doctor", clock.boot_ns()), 1, 0.0)))
    finally:
        camera.close()
    return Finding("camera", True, f"gave a frame of {frame.width} x {frame.height}")


def _sensor(settings: Settings) -> Finding:
    sensor = parts.build_sensor(settings, SystemClock())
    try:
        sensor.start(lambda trigger: None)  # noqa: ARG005 - nothing is to be done with it
        sensor.check()
    finally:
        sensor.close()
    return Finding("sensor", True, f"{settings.sensor.backend} answers")


def _credential(settings: Settings) -> Finding:
    if mqtt_password(settings, os.environ) is None:
        return Finding("credential", True, "no broker password is set", "fine where the broker asks for none")
    return Finding("credential", True, "the broker password can be read")


def _broker(settings: Settings) -> Finding:
    """A real connection, under a name of its own: one under the unit's would throw out the daemon."""
    try:
        mqtt_password(settings, os.environ)
    except CredentialUnavailable:
        hint = "the finding above says what to do about it"
        return Finding("broker", True, "not asked, for lack of the password", hint, warning=True)
    link = parts.build_uplink(settings, visitor="doctor").connect(None)
    try:
        event = link.next(_ANSWER_WITHIN_S)
    finally:
        link.close()
    return of_answer(event, f"{settings.mqtt.host}:{settings.mqtt.port}")


def of_answer(event: LinkEvent | None, broker: str) -> Finding:
    """What the first event of a visit says of the unit; None: none came in time.

    A broker that is away, or busy, is no fault of the unit's.
    """
    if isinstance(event, Connected):
        return Finding("broker", True, f"{broker} takes the unit")
    if not isinstance(event, Lost) or event.unreachable:
        reason = event.reason if isinstance(event, Lost) else f"{broker} does not answer"
        return Finding("broker", True, reason, _LATER, warning=True)
    if event.code is None:
        return Finding("broker", False, event.reason, _WAITS)
    message, hint = uplink_reasons.words_of(event.code)
    if event.code == uplink_reasons.CLIENT_ID_REFUSED:
        return Finding("broker", True, message, f"{hint}; doctor's ends in -doctor", warning=True)
    if event.code in uplink_reasons.PASSING:
        return Finding("broker", True, message, _LATER, warning=True)
    return Finding("broker", False, message, hint or _WAITS)
