"""What is missing on this unit, one finding at a time, each with what to do about it.

Called by the verb `doctor`. It opens each part for a moment as the daemon would, and leaves nothing behind.
While the daemon runs, camera and pins are its own: those findings then say so.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trapd import app
from trapd.backends import uplink_reasons, uplink_tls
from trapd.backends.uplink_tls import Tls
from trapd.config import Loaded, Settings, mqtt_password
from trapd.errors import TrapdError, Unavailable
from trapd.host.clock import SystemClock
from trapd.records import Trigger, TsQuality

_CONNECT_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `ok` False: the unit would not work."""

    name: str
    ok: bool
    message: str
    hint: str = ""


def examine(loaded: Loaded) -> Iterator[Finding]:
    """Look at each part in turn; a part that breaks the looking is a finding too."""
    settings = loaded.settings
    for warning in loaded.warnings:
        yield Finding("configuration", True, f"{warning.path}: {warning.message}", warning.hint)
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
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "storage", False, f"{existing} cannot be written", "run as the unit's user, or set storage.path"
        )
    if path.exists():
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            pass
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
    classifier = app.configured_classifier(settings)
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
    camera = app.build_camera(settings, clock)
    try:
        camera.open()
        frame = next(iter(camera.shoot(Trigger("remote", "doctor", clock.boot_ns()), 1, 0.0)))
    finally:
        camera.close()
    return Finding("camera", True, f"gave a frame of {frame.width} x {frame.height}")


def _sensor(settings: Settings) -> Finding:
    sensor = app.build_sensor(settings, SystemClock())
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
    """A TCP (and TLS) connection only: a real MQTT one would throw out the running daemon."""
    mqtt = settings.mqtt
    context = None
    if mqtt.tls.enabled:
        context = uplink_tls.context(Tls(mqtt.tls.ca_file, mqtt.tls.cert_file, mqtt.tls.key_file))
    try:
        with socket.create_connection((mqtt.host, mqtt.port), timeout=_CONNECT_WITHIN_S) as plain:
            if context is not None:
                context.wrap_socket(plain, server_hostname=mqtt.host).close()
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
        raise Unavailable(
            uplink_reasons.of_error(error, mqtt.host, mqtt.port),
            "the unit works without the broker and delivers later",
        ) from error
    return Finding("broker", True, f"{mqtt.host}:{mqtt.port} answers")
