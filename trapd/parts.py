"""Configuration to parts: the backends that it names, and what each stage is told. Main thread.

The verbs that work without a store build their parts here too.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from trapd.errors import CameraUnavailable, Fault, SensorUnavailable, Unavailable
from trapd.ports import Camera, Classifier, Clock, Lamp, Link, Scene, Sensor, Uplink
from trapd.remote.here import Surroundings
from trapd.settings import Loaded, Settings, mqtt_password
from trapd.stages.capture.absent import AbsentCamera, AbsentSensor, why_absent
from trapd.stages.capture.stage import CapturePlan
from trapd.stages.deliver.stage import DeliverPlan
from trapd.stages.screen import ScreenPlan
from trapd.store import ExifContext, Store, Tombstones
from trapd.wire import codec
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring
from trapd.wire.window import Limit

TOMBSTONES = Tombstones(event=codec.tombstone, file=codec.lost_file)
WINDOW = Limit(messages=100, bytes=500_000)  # what a kill may send twice, and no more
_DEAD_LINK_KEEPALIVES = 1.6  # of the oldest publish; an idle link that says nothing ends after 1.5

BACKENDS = {
    "camera.replay": "trapd.backends.camera_replay:ReplayCamera",
    "camera.picamera2": "trapd.backends.camera_picamera2:PicameraCamera",
    "sensor.timer": "trapd.backends.sensor_timer:TimerSensor",
    "sensor.gpiozero": "trapd.backends.sensor_gpiozero:GpioSensor",
    "lamp.gpiozero": "trapd.backends.lamp_gpiozero:GpioLamp",
    "filter.scene": "trapd.backends.scene:Scene",
    "filter.tflite": "trapd.backends.tflite.classifier:TfliteClassifier",
    "uplink.paho": "trapd.backends.uplink_paho:PahoUplink",
}


def capture_plan(loaded: Loaded) -> CapturePlan:
    settings = loaded.settings
    has_level = settings.sensor.backend != "timer"
    return CapturePlan(
        frames=settings.burst.frames,
        interval_s=settings.burst.interval_s,
        while_active=settings.trigger.while_active,
        cooldown_s=settings.trigger.cooldown_s,
        max_per_hour=settings.trigger.max_per_hour,
        probe_s=settings.heartbeat_s,
        config=loaded.hash,
        warmup_s=settings.sensor.warmup_s if has_level else 0.0,
        stuck_s=settings.sensor.stuck_s if has_level else None,
    )


def screen_plan(settings: Settings) -> ScreenPlan:
    return ScreenPlan(
        threshold=settings.filter.threshold,
        threshold_night=settings.filter.threshold_night,
        classes=tuple(settings.filter.classes),
        audit_fraction=settings.filter.audit_fraction,
        thumbnail_bytes=settings.publish.thumbnail_bytes,
        discard_at_once=settings.filter.discard == "at_once",
        alert_classes=tuple(settings.publish.alert_classes),
        send_media=settings.publish.media == "all",
    )


def deliver_plan(settings: Settings) -> DeliverPlan:
    return DeliverPlan(
        limit=WINDOW,
        dead_after_s=_DEAD_LINK_KEEPALIVES * settings.mqtt.keepalive_s,
        receipts=settings.mqtt.delivery == "receipt",
        chunk_bytes=settings.publish.chunk_bytes,
        bytes_per_day=settings.publish.bytes_per_day,
        alert_reserve_bytes=settings.publish.alert_reserve_bytes,
        groups=tuple(settings.unit.groups),
        limit_is_told=str(settings.mqtt.protocol) == "5",
        keepalive_s=settings.mqtt.keepalive_s,
    )


def exif_context(settings: Settings) -> ExifContext:
    return ExifContext(
        unit=settings.unit.id,
        latitude=settings.unit.latitude,
        longitude=settings.unit.longitude,
        precision_km=settings.unit.location_precision_km,
        timezone=settings.unit.timezone,
        model=settings.camera.backend,
    )


def build_camera(settings: Settings, clock: Clock, stopping: Callable[[], bool] = lambda: False) -> Camera:
    """The configured camera, or one that says why there is none. `stopping`: it is not waited for long."""
    camera = settings.camera
    options: dict[str, Any] = {
        "filter_size": tuple(camera.filter_size),
        "clock": clock,
        "stopping": stopping,
    }
    if camera.backend == "replay":
        options["path"] = Path(camera.path or "")
    else:
        options |= {
            "size": tuple(camera.size),
            "quality": camera.quality,
            "rotation": camera.rotation,
            "focus": camera.focus,
            "tuning_file": camera.tuning_file,
            "pre_trigger": settings.burst.pre_trigger,
        }
    try:
        return cast(Camera, _backend(f"camera.{camera.backend}")(**options))
    except (ImportError, CameraUnavailable) as error:
        return AbsentCamera(*why_absent("camera", camera.backend, error))


def build_sensor(settings: Settings, clock: Clock) -> Sensor:
    """The configured sensor, or one that says why there is none."""
    sensor = settings.sensor
    options: dict[str, Any] = {"clock": clock}
    if sensor.backend == "timer":
        options["every_s"] = sensor.every_s
    else:
        options |= {
            "pins": tuple(sensor.pins),
            "active_high": sensor.active_high,
            "min_pulse_ms": sensor.min_pulse_ms,
        }
    try:
        return cast(Sensor, _backend(f"sensor.{sensor.backend}")(**options))
    except (ImportError, SensorUnavailable) as error:
        return AbsentSensor(*why_absent("sensor", sensor.backend, error))


def build_lamp(settings: Settings) -> Lamp | None:
    """The configured LED; None without one."""
    pin = settings.indicator.led_pin
    return None if pin is None else cast(Lamp, _backend("lamp.gpiozero")(pin=pin))


def build_classifier(
    name: str,
    *,
    models: Path | None,
    threads: int = 2,
    labels: Path | None = None,
    tried: Path | None = None,
) -> Classifier:
    """The classifier of a model by name or file; it finds its file when it is opened.

    `tried`: where it is noted which models have been loaded in a child process.
    """
    from trapd.backends import model_files

    path, make = model_files.find(name, models), _backend("filter.tflite")
    return cast(Classifier, make(path, name=name, threads=threads, labels=labels, tried=tried))


def build_scene() -> Scene:
    """What looks at a burst beside the classifier."""
    return cast(Scene, _backend("filter.scene")())


def build_uplink(settings: Settings, *, visitor: str = "") -> Uplink:
    """The uplink to the configured broker. A `visitor` looks in by a name of its own beside the unit's."""
    from trapd.backends.paho_lean import lean

    lean()
    from trapd.backends.uplink_paho import Account, Tls

    mqtt = settings.mqtt
    tls = Tls(_path(mqtt.tls.ca_file), _path(mqtt.tls.cert_file), _path(mqtt.tls.key_file))
    client_id = f"trapd-{settings.unit.id}"
    account = Account(
        mqtt.host,
        mqtt.port,
        client_id=f"{client_id}-{visitor}" if visitor else client_id,
        username=settings.mqtt_username,
        password=lambda: mqtt_password(settings, os.environ),
        tls=tls if mqtt.tls.enabled else None,
        protocol="5" if mqtt.protocol == 5 else "3.1.1",
        keepalive_s=mqtt.keepalive_s,
        visitor=bool(visitor),
    )
    return cast(Uplink, _backend("uplink.paho")(account))


class LateUplink:
    """The uplink of `settings`; its library comes with the first connection, on Deliver's thread.

    TLS and MQTT are a fifth of all imports, and the unit watches before they are there.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._uplink: Uplink | None = None

    def connect(self, will: tuple[str, bytes] | None, *, fresh: bool = False) -> Link:
        """See Uplink."""
        self._uplink = self._uplink or build_uplink(self._settings)
        return self._uplink.connect(will, fresh=fresh)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _backend(name: str) -> Any:
    module, attribute = BACKENDS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def configured_classifier(settings: Settings) -> Classifier | None:
    """The classifier that the configuration names; None where it asks for none."""
    if settings.filter.backend == "none":
        return None
    labels = Path(settings.filter.labels) if settings.filter.labels else None
    return build_classifier(
        settings.filter.model,
        models=Path(settings.storage.path) / "models",
        threads=settings.filter.threads,
        labels=labels,
        tried=Path(settings.storage.path) / "models-tried.json",
    )


def authority(settings: Settings, retiring: Callable[[], str]) -> Authority:
    """Who may tell this unit what. `retiring`: see RemoteConfiguration."""
    remote = settings.remote
    return Authority(
        Keyring(remote.trusted_keys),
        signed_only=remote.require_signature,
        open_=settings.mqtt.tls.enabled or remote.allow_plaintext,
        retiring=retiring,
    )


def surroundings(settings: Settings, store: Store) -> Surroundings:
    """What a configuration from afar is held against."""
    return Surroundings(
        cannot=lambda wanted: cannot(settings, wanted),
        used_bytes=lambda: store.space.disk().used_bytes,
        free_bytes=lambda: store.space.disk().free_bytes,
    )


def cannot(present: Settings, wanted: Settings) -> tuple[Fault, ...]:
    """What this unit, as it is, cannot do of what is wanted, as far as that is known without a trial.

    Only what would change is asked about: what does not work now must not bar its cure.
    """
    return (
        *_camera_cannot(present, wanted),
        *_pins_cannot(present, wanted),
        *_filter_cannot(present, wanted),
    )


def _camera_cannot(present: Settings, wanted: Settings) -> Iterator[Fault]:
    if wanted.camera.backend != "picamera2":
        return
    from trapd.backends import abilities

    was, is_ = present.camera, wanted.camera
    yield from abilities.of_camera(
        size=None if is_.size == was.size else (is_.size[0], is_.size[1]),
        focus=None if is_.focus == was.focus else is_.focus,
    )


def _pins_cannot(present: Settings, wanted: Settings) -> Iterator[Fault]:
    from trapd.backends import abilities

    ours = set(present.sensor.pins) if present.sensor.backend == "gpiozero" else set()
    if (led_pin := present.indicator.led_pin) is not None:
        ours.add(led_pin)
    pins: dict[str, int] = {}
    if wanted.sensor.backend == "gpiozero":
        pins = {f"sensor.pins[{number}]": pin for number, pin in enumerate(wanted.sensor.pins)}
        if (wanted.sensor.pins, wanted.sensor.active_high) != (
            present.sensor.pins,
            present.sensor.active_high,
        ):
            yield from abilities.of_pulls(pins, active_high=wanted.sensor.active_high)
    if wanted.indicator.led_pin is not None:
        pins["indicator.led_pin"] = wanted.indicator.led_pin
    yield from abilities.of_pins({key: pin for key, pin in pins.items() if pin not in ours})


def _filter_cannot(present: Settings, wanted: Settings) -> tuple[Fault, ...]:
    """A model that is not there or fails its test."""
    if wanted.filter == present.filter:
        return ()
    try:
        tells_of(wanted)
    except (Unavailable, ImportError, OSError) as error:
        hint = error.hint if isinstance(error, Unavailable) else ""
        return (Fault("filter.model", f"cannot be used here: {error}", hint),)
    return ()


def tells_of(settings: Settings) -> frozenset[str] | None:
    """The classes that the configured model can tell; None without a model. Raises ModelUnavailable."""
    classifier = configured_classifier(settings)
    if classifier is None:
        return None
    try:
        return classifier.open().tells
    finally:
        classifier.close()
