"""The composition root: configuration to backends to stages. The only file that knows every room.

`run` is the daemon; the main thread calls it. The builders serve the verbs that work without a store.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from trapd import __version__
from trapd.config import Loaded, Settings, mqtt_password
from trapd.errors import CameraUnavailable, SensorUnavailable, StageFailed, StoreCorrupt, StoreError
from trapd.host import vitals
from trapd.host.clock import SystemClock
from trapd.host.notify import ServiceManager
from trapd.ports import Camera, Classifier, Clock, Sensor, Uplink
from trapd.records import Kind, ModelInfo
from trapd.stages.absent import AbsentCamera, AbsentSensor
from trapd.stages.alerts import Alerts
from trapd.stages.base import Supervisor
from trapd.stages.capture import Capture, CapturePlan
from trapd.stages.deliver import Deliver, DeliverPlan
from trapd.stages.facts import Facts
from trapd.stages.heartbeat import Heartbeat, Reading
from trapd.stages.housekeep import Housekeep
from trapd.stages.refusals import Refusals
from trapd.stages.scarcity import words_of
from trapd.stages.screen import Screen, ScreenPlan
from trapd.stages.standby import DISK_TROUBLE, Standby
from trapd.stages.timekeep import Timekeep
from trapd.stages.waiting import WaitingFrames
from trapd.store import ExifContext, Store
from trapd.wire import codec
from trapd.wire.topics import Topics
from trapd.wire.window import Backoff, Limit

log = logging.getLogger("trapd")

_WINDOW = Limit(messages=100, bytes=500_000)  # what a kill may send twice, and no more
_DEAD_LINK_KEEPALIVES = 1.6  # paho itself notices after 1.8 to 1.9

_BACKENDS = {
    "camera.replay": "trapd.backends.camera_replay:ReplayCamera",
    "camera.picamera2": "trapd.backends.camera_picamera2:PicameraCamera",
    "sensor.timer": "trapd.backends.sensor_timer:TimerSensor",
    "sensor.gpiozero": "trapd.backends.sensor_gpiozero:GpioSensor",
    "filter.tflite": "trapd.backends.classifier_tflite:TfliteClassifier",
    "uplink.paho": "trapd.backends.uplink_paho:PahoUplink",
}


def run(loaded: Loaded, *, stop: threading.Event, manager: ServiceManager) -> None:
    """The daemon, until `stop` is set. Raises what ended it: StoreLocked, StageFailed, StageStuck, ..."""
    settings = loaded.settings
    clock = SystemClock()
    refusals = Refusals(clock)
    standby = Standby(
        clock=clock,
        refusals=refusals,
        sensor=lambda: build_sensor(settings, clock),
        tell=manager.ready,
        alive=manager.alive,
    )

    def open_store() -> Store:
        return Store.open(
            Path(settings.storage.path),
            settings.unit.id,
            clock=clock,
            max_bytes=settings.storage.max_bytes,
            min_free_bytes=settings.storage.min_free_bytes,
            each=manager.starting,
        )

    while (store := standby.open(open_store, stop)) is not None:
        trouble = _run_on(store, _Daemon(loaded, store, clock, refusals, standby.outage_s()), stop, manager)
        if trouble is None:
            break
        standby.failed(trouble)
    log.info("stopped")


def _run_on(
    store: Store, daemon: _Daemon, stop: threading.Event, manager: ServiceManager
) -> StoreError | None:
    """Run the stages on this store; None when they were told to stop, or the trouble of a disk that may pass.

    Raises what else ended them.
    """
    clean = False
    try:
        daemon.run(stop, manager)
        clean = True
    except (StageFailed, StoreError) as error:
        cause = error.__cause__ if isinstance(error, StageFailed) else error
        if isinstance(cause, StoreCorrupt):
            with contextlib.suppress(StoreError):  # what counts is the damage; an unclean end is checked too
                store.suspect()
        if not isinstance(cause, DISK_TROUBLE):
            raise
        return cause
    finally:
        store.close(clean=clean)
    return None


class _Daemon:
    """The stages of one process, joined."""

    def __init__(
        self, loaded: Loaded, store: Store, clock: Clock, refusals: Refusals, outage_s: float | None
    ) -> None:
        settings = loaded.settings
        self._loaded = loaded
        self._settings = settings
        self._store = store
        self._clock = clock
        self._outage_s = outage_s
        self._started = clock.now()
        self._topics = Topics(settings.mqtt.base_topic, settings.unit.id)
        self._alerts = Alerts(store, codec.alert, lambda: codec.rfc3339(clock.now().wall_ms))
        waiting = WaitingFrames()
        self._capture = Capture(
            _capture_plan(loaded),
            sensor=build_sensor(settings, clock),
            camera=build_camera(settings, clock),
            store=store,
            exif=_exif_context(settings),
            clock=clock,
            waiting=waiting,
            alerts=self._alerts,
            environment=vitals.environment,
            refusals=refusals,
        )
        self._screen = Screen(
            _screen_plan(settings),
            classifier=configured_classifier(settings),
            store=store,
            waiting=waiting,
            alerts=self._alerts,
            clock=clock,
            announce=self._announce,
        )
        self._deliver = Deliver(
            _deliver_plan(settings),
            uplink=build_uplink(settings),
            topics=self._topics,
            store=store,
            alerts=self._alerts,
            clock=clock,
            encode_event=codec.event,
            backoff=Backoff(random.Random()),  # noqa: S311 - jitter, no secret
        )

    def run(self, stop: threading.Event, manager: ServiceManager) -> None:
        """Start all stages, watch them, end them in the order in which work flows."""
        self._alerts.forget_earlier()
        self._tell_recovery()
        facts = Facts(
            store=self._store,
            clock=self._clock,
            alerts=self._alerts,
            online=lambda: self._deliver.online,
            held_back=lambda: self._deliver.held_back,
            version=__version__,
        )
        heartbeat = Heartbeat(
            every_s=self._settings.heartbeat_s,
            store=self._store,
            clock=self._clock,
            read=facts.read,
            encode=lambda read: codec.state(self._clock.now(), read),
            each=lambda read: manager.status(_status_line(read)),
        )
        housekeep = Housekeep(
            store=self._store, clock=self._clock, alerts=self._alerts, tombstone=codec.tombstone
        )
        timekeep = Timekeep(store=self._store, clock=self._clock, encode=codec.clock)
        stages = (self._capture, self._screen, housekeep, timekeep, heartbeat, self._deliver)
        with Supervisor(stages) as supervisor:
            log.info("%s is armed; epoch %s", self._settings.unit.id, self._store.epoch)
            manager.ready("armed")
            supervisor.watch(stop, manager.alive)
            manager.stopping()

    def _announce(self, model: ModelInfo | None) -> None:
        """The birth certificate: who this unit is, and what it runs."""
        unit = self._settings.unit
        place = None
        if unit.latitude is not None and unit.longitude is not None:
            place = (unit.latitude, unit.longitude)
        payload = codec.birth(
            unit=unit.id,
            name=self._settings.unit_name,
            station=self._settings.station,
            groups=unit.groups,
            version=__version__,
            python=platform.python_version(),
            model=model,
            config=self._loaded.hash,
            epoch=self._store.epoch,
            started=self._started,
            protocol=str(self._settings.mqtt.protocol),
            location=place,
            location_precision_km=unit.location_precision_km,
        )
        with self._store.session() as session:
            session.outbox.put(Kind.CONTROL, "birth", payload, retain=True)

    def _tell_recovery(self) -> None:
        """What start-up found, in the log; and an alert where something was damaged."""
        recovered = self._store.recovered
        if recovered.rebuilt is not None:
            self._alerts.raise_("store", *words_of(recovered.rebuilt))
            if "store" in self._alerts.names():
                self._store.told_rebuilt()
        if self._outage_s is not None:
            self._alerts.raise_(
                "disk",
                f"the disk took no writes for {self._outage_s:.0f} s: triggers were refused",
                "look at the disk, its mount options and what fills it",
            )


def _status_line(facts: Mapping[str, Reading]) -> str:
    link = "online" if facts.get("online") else "offline"
    return f"armed, {link}, {facts.get('bursts', 0)} bursts, {facts.get('queue_event', 0)} events waiting"


def _capture_plan(loaded: Loaded) -> CapturePlan:
    settings = loaded.settings
    return CapturePlan(
        frames=settings.burst.frames,
        interval_s=settings.burst.interval_s,
        while_active=settings.trigger.while_active,
        cooldown_s=settings.trigger.cooldown_s,
        max_per_hour=settings.trigger.max_per_hour,
        probe_s=settings.heartbeat_s,
        config=loaded.hash,
    )


def _screen_plan(settings: Settings) -> ScreenPlan:
    return ScreenPlan(
        threshold=settings.filter.threshold,
        classes=tuple(settings.filter.classes),
        audit_fraction=settings.filter.audit_fraction,
        thumbnail_bytes=settings.publish.thumbnail_bytes,
        discard_at_once=settings.filter.discard == "at_once",
        alert_classes=tuple(settings.publish.alert_classes),
        send_media=settings.publish.media == "all",
    )


def _deliver_plan(settings: Settings) -> DeliverPlan:
    remote = settings.remote
    refusal = ""
    if remote.require_signature:
        refusal = "commands must be signed (remote.require_signature), and this version reads no signatures"
    elif not settings.mqtt.tls.enabled and not remote.allow_plaintext:
        refusal = "without TLS no command is obeyed unless remote.allow_plaintext is true"
    return DeliverPlan(
        limit=_WINDOW,
        dead_after_s=_DEAD_LINK_KEEPALIVES * settings.mqtt.keepalive_s,
        receipts=settings.mqtt.delivery == "receipt",
        chunk_bytes=settings.publish.chunk_bytes,
        bytes_per_day=settings.publish.bytes_per_day,
        alert_reserve_bytes=settings.publish.alert_reserve_bytes,
        commands=remote.enabled,
        refusal=refusal,
    )


def _exif_context(settings: Settings) -> ExifContext:
    return ExifContext(
        unit=settings.unit.id,
        latitude=settings.unit.latitude,
        longitude=settings.unit.longitude,
        precision_km=settings.unit.location_precision_km,
        timezone=settings.unit.timezone,
        model=settings.camera.backend,
    )


def build_camera(settings: Settings, clock: Clock) -> Camera:
    """The configured camera, or one that says why there is none."""
    camera = settings.camera
    options: dict[str, Any] = {"filter_size": tuple(camera.filter_size), "clock": clock}
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
        return AbsentCamera(f"the camera backend {camera.backend} is not here: {error}", _HOW_TO_GET_PI)


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
            "warmup_s": sensor.warmup_s,
            "stuck_s": sensor.stuck_s,
        }
    try:
        return cast(Sensor, _backend(f"sensor.{sensor.backend}")(**options))
    except (ImportError, SensorUnavailable) as error:
        return AbsentSensor(f"the sensor backend {sensor.backend} is not here: {error}", _HOW_TO_GET_PI)


def build_classifier(
    name: str, *, models: Path | None, threads: int = 2, labels: Path | None = None
) -> Classifier:
    """The classifier of a model by name or file; it finds its file when it is opened."""
    from trapd.backends import model_files

    path = model_files.find(name, models)
    return cast(Classifier, _backend("filter.tflite")(path, name=name, threads=threads, labels=labels))


def build_uplink(settings: Settings) -> Uplink:
    """The uplink to the configured broker. The password is read anew for each connection."""
    from trapd.backends.uplink_paho import Tls

    mqtt = settings.mqtt
    tls = Tls(_path(mqtt.tls.ca_file), _path(mqtt.tls.cert_file), _path(mqtt.tls.key_file))
    uplink = _backend("uplink.paho")(
        mqtt.host,
        mqtt.port,
        client_id=f"trapd-{settings.unit.id}",
        username=settings.mqtt_username,
        password=lambda: mqtt_password(settings, os.environ),
        tls=tls if mqtt.tls.enabled else None,
        protocol=str(mqtt.protocol),
        keepalive_s=mqtt.keepalive_s,
    )
    return cast(Uplink, uplink)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


_HOW_TO_GET_PI = "trapd doctor says what is missing; on a Pi install python3-picamera2 and python3-gpiozero"


def _backend(name: str) -> Any:
    module, attribute = _BACKENDS[name].split(":")
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
    )


def tells_of(settings: Settings) -> frozenset[str] | None:
    """The classes that the configured model can tell; None without a model. Raises ModelUnavailable."""
    classifier = configured_classifier(settings)
    if classifier is None:
        return None
    try:
        return classifier.open().tells
    finally:
        classifier.close()
