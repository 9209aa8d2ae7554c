"""The composition root: configuration to backends to stages. The only file that knows every room.

`run` is the daemon; the main thread calls it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import random
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from trapd import __version__, parts
from trapd.errors import StageFailed, StoreError
from trapd.frozen import Frozen
from trapd.host import memory, vitals
from trapd.host.clock import SystemClock
from trapd.host.notify import ServiceManager
from trapd.host.power import Reboot
from trapd.ports import Clock, Received
from trapd.records import Kind, ModelInfo
from trapd.remote.configuration import RemoteConfiguration
from trapd.remote.start import Start
from trapd.settings.published import schema_text
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage, Supervisor
from trapd.stages.capture.orders import Orders
from trapd.stages.capture.rare_reboot import RareReboot
from trapd.stages.capture.refusals import Refusals
from trapd.stages.capture.stage import Capture
from trapd.stages.capture.waiting import WaitingFrames
from trapd.stages.control.commands import Means
from trapd.stages.control.desired import Desired, Eyes
from trapd.stages.control.stage import Control
from trapd.stages.control.trail import Trail
from trapd.stages.deliver.stage import Deliver
from trapd.stages.screen import Screen
from trapd.stages.upkeep.facts import Facts
from trapd.stages.upkeep.heartbeat import Heartbeat, Reading
from trapd.stages.upkeep.housekeep import Housekeep
from trapd.stages.upkeep.missed import Missed
from trapd.stages.upkeep.scarcity import words_of
from trapd.stages.upkeep.standby import DISK_TROUBLE, Standby, may_be_damage
from trapd.stages.upkeep.timekeep import Timekeep
from trapd.store import Store
from trapd.wire import codec
from trapd.wire.topics import CONFIG_DESIRED, Topics
from trapd.wire.window import Backoff

log = logging.getLogger("trapd")

_STATUS_EVERY_NS = 60_000_000_000


def run(start: Start, *, stop: threading.Event, manager: ServiceManager) -> bool:
    """The daemon, until `stop` is set; True where the process is to begin anew with another configuration.

    Raises what ended it: StoreLocked, StageFailed, StageStuck, ...
    """
    settings = start.loaded.settings
    restart = threading.Event()
    clock = SystemClock()
    refusals = Refusals(clock)
    standby = Standby(
        clock=clock,
        refusals=refusals,
        sensor=lambda: parts.build_sensor(settings, clock),
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

    overlays: RemoteConfiguration | None = None
    while (store := standby.open(open_store, stop)) is not None:
        around = parts.surroundings(settings, store)
        # One for the life of the process: a trial that was kept, or ran, is not forgotten with the store.
        overlays = overlays or RemoteConfiguration(start, around, clock)
        overlays.moved_to(around)
        daemon = _Daemon(
            start,
            store,
            clock,
            overlays=overlays,
            refusals=refusals,
            outage_s=standby.outage_s(),
            restart=_Restart(restart, stop),
        )
        if (trouble := _run_on(store, daemon, stop, manager)) is None:
            break
        standby.failed(trouble)
    log.info("stopped")
    return restart.is_set()


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
        if may_be_damage(cause):
            with contextlib.suppress(StoreError):  # what counts is the damage; an unclean end is checked too
                store.suspect()
        if not isinstance(cause, DISK_TROUBLE):
            raise
        return cause
    finally:
        store.close(clean=clean)
    return None


class _Restart(Frozen):
    """Asks for a process that begins anew: an orderly stop, and then the same command again."""

    wanted: threading.Event
    stop: threading.Event

    def __call__(self) -> None:
        self.wanted.set()
        self.stop.set()


class _Daemon:
    """The stages of one process, joined."""

    def __init__(
        self,
        start: Start,
        store: Store,
        clock: Clock,
        *,
        overlays: RemoteConfiguration,
        refusals: Refusals,
        outage_s: float | None,
        restart: _Restart,
    ) -> None:
        loaded = start.loaded
        settings = loaded.settings
        self._start = start
        self._loaded = loaded
        self._settings = settings
        self._store = store
        self._clock = clock
        self._outage_s = outage_s
        self._restart = restart
        self._started = clock.now()
        self._topics = Topics(settings.mqtt.base_topic, settings.unit.id)
        self._alerts = Alerts(store, codec.alert, lambda: codec.rfc3339(clock.now().wall_ms))
        self._overlays = overlays
        self._orders = Orders()
        self._reboot = Reboot(os.environ)
        waiting = WaitingFrames()
        self._capture = Capture(
            parts.capture_plan(loaded),
            sensor=parts.build_sensor(settings, clock),
            camera=parts.build_camera(settings, clock, self._stops),
            store=store,
            exif=parts.exif_context(settings),
            clock=clock,
            waiting=waiting,
            alerts=self._alerts,
            environment=vitals.environment,
            refusals=refusals,
            orders=self._orders,
            judged=lambda: self._screen.judged,
            reboot=self._rare_reboot(),
        )
        self._missed = Missed(
            self._alerts, classes=settings.filter.classes, auto_keep=settings.filter.auto_keep
        )
        self._screen = Screen(
            parts.screen_plan(settings),
            classifier=parts.configured_classifier(settings),
            store=store,
            waiting=waiting,
            alerts=self._alerts,
            clock=clock,
            announce=self._announce,
            keep_more=lambda: self._missed.keep_more,
            scene=None if settings.filter.backend == "none" else parts.build_scene(),
        )
        self._deliver = Deliver(
            parts.deliver_plan(settings),
            uplink=parts.LateUplink(settings),
            topics=self._topics,
            store=store,
            alerts=self._alerts,
            clock=clock,
            encode_event=codec.event,
            backoff=Backoff(random.Random()),  # noqa: S311 - jitter, no secret
            pass_on=self._pass_on if settings.remote.enabled else None,
        )
        self._facts = Facts(
            store=store,
            clock=clock,
            alerts=self._alerts,
            online=lambda: self._deliver.online,
            held_back=lambda: self._deliver.held_back,
            version=__version__,
            more=self._what_it_is_told,
            missed=self._missed,
        )
        self._control = self._build_control(restart) if settings.remote.enabled else None

    def run(self, stop: threading.Event, manager: ServiceManager) -> None:
        """Start all stages, watch them, end them in the order in which work flows."""
        self._alerts.take_over()
        self._tell_recovery()
        with self._store.session() as session:
            self._orders.recall(session)
        heartbeat = Heartbeat(
            every_s=self._settings.heartbeat_s,
            store=self._store,
            clock=self._clock,
            read=self._facts.read,
            encode=lambda read: codec.state(self._clock.now(), read),
            each=lambda read: self._tell(manager, read),
            online=lambda: self._deliver.online,
            mark=lambda: (
                self._deliver.online,
                self._orders.armed,
                self._alerts.names(),
                self._clock.boot_ns() // _STATUS_EVERY_NS,
            ),
        )
        housekeep = Housekeep(
            store=self._store, clock=self._clock, alerts=self._alerts, tombstones=parts.TOMBSTONES
        )
        timekeep = Timekeep(store=self._store, clock=self._clock, encode=codec.clock)
        control = () if self._control is None else (self._control,)
        looking = (housekeep, timekeep, heartbeat, *self._indicator())
        stages = (self._capture, self._screen, *looking, *control, self._deliver)
        with Supervisor(stages) as supervisor:
            log.info("%s is up; epoch %s", self._settings.unit.id, self._store.epoch)
            manager.ready("looking for camera, sensor and link")
            supervisor.watch(stop, manager.alive)
            manager.stopping(again=self._restart.wanted.is_set())

    def _indicator(self) -> tuple[Stage, ...]:
        """The LED's stage, where there is one."""
        lamp = parts.build_lamp(self._settings)
        if lamp is None:
            return ()
        from trapd.stages.upkeep.indicator import Indicator, Sight

        def see() -> Sight:
            return Sight(
                taking=self._capture.taking,
                bursts=self._capture.begun,
                armed=self._orders.armed,
                online=self._deliver.online,
                alerts=self._alerts.names(),
            )

        return (Indicator(lamp=lamp, see=see, clock=self._clock),)

    def _tell(self, manager: ServiceManager, facts: Mapping[str, Reading]) -> None:
        """Once a minute, and whenever something has changed."""
        manager.status(_status_line(facts, self._alerts.names()))
        memory.give_back()

    def _build_control(self, restart: _Restart) -> Control:
        """What hears the operator."""
        trail = Trail(self._clock)
        authority = parts.authority(self._settings, lambda: self._overlays.retiring)
        desired = Desired(
            topic=self._topics.full(CONFIG_DESIRED),
            clock=self._clock,
            authority=authority,
            overlays=self._overlays,
            eyes=Eyes(
                standing=lambda: self._deliver.standing,
                echo=lambda: self._deliver.echo,
                camera_seen=lambda: self._capture.camera_seen,
                model_ready=lambda: self._screen.model_ready,
            ),
            trail=trail,
            restart=restart,
        )
        means = Means(
            clock=self._clock,
            overlays=self._overlays,
            orders=self._orders,
            facts=self._facts.read,
            rebirth=self._deliver.lift_rests,
            reboot=self._reboot.ask,
            no_reboot=self._reboot.why_not,
            forget_reboot=self._reboot.forget,
            chunk_bytes=lambda: self._deliver.chunk_bytes,
        )
        return Control(
            topics=self._topics,
            store=self._store,
            clock=self._clock,
            authority=authority,
            means=means,
            desired=desired,
            trail=trail,
            schema=schema_text,
            draw=random.Random(),  # noqa: S311 - jitter, no secret
            noted=self._deliver.noted,
        )

    def _stops(self) -> bool:
        return self._capture.stop.is_set()

    def _rare_reboot(self) -> RareReboot | None:
        if self._settings.camera.backend == "replay":
            return None  # photographs in a folder are not helped by one
        return RareReboot(self._clock, self._reboot, forgotten=self._store.recovered.rebuilt is not None)

    def _pass_on(self, message: Received) -> bool:
        return self._control is not None and self._control.offer(message)

    def _what_it_is_told(self) -> Mapping[str, int | float | str]:
        return {
            **self._capture.facts(),
            "armed": int(self._orders.armed),
            "config_version": self._overlays.version,
            "config_phase": self._overlays.phase,
        }

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
        if self._start.set_aside:
            self._alerts.raise_(
                "config",
                f"the configuration from afar is set aside: {self._start.set_aside}",
                "publish one that fits the local file",
            )
        else:
            self._alerts.clear("config")
        if self._outage_s is not None:
            self._alerts.raise_(
                "disk",
                f"the disk took no writes for {self._outage_s:.0f} s: triggers were refused",
                "look at the disk, its mount options and what fills it",
            )


def _status_line(facts: Mapping[str, Reading], alerts: Collection[str]) -> str:
    """For a person who asks the service manager: does it watch, is there a link, what waits."""
    missing = [part for part in ("camera", "sensor") if part in alerts]
    watching = (
        f"no {' and no '.join(missing)}" if missing else "armed" if facts.get("armed", 1) else "disarmed"
    )
    link = "link up" if facts.get("online") else "no link"
    waiting = f"events waiting: {facts.get('queue_event', 0)}"
    standing = f"; alerts: {', '.join(alerts)}" if alerts else ""
    return f"{watching}, {link}, {waiting}, bursts: {facts.get('bursts', 0)}{standing}"
