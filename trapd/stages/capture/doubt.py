"""Doubt: which triggers of a sensor are not believed, and why. Capture's thread.

A PIR is blind and noisy after power-on: until then its triggers are refused as `warmup`. One that stays
active without anything worth keeping is stuck (the sun on a branch, a wet cable): alert `sensor_stuck`, one
burst an hour, the rest refused as `stuck`. Either end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from trapd.frozen import Frozen
from trapd.ports import Clock, Sensor
from trapd.records import Activity, Refusal, Trigger
from trapd.rules import NS_PER_S
from trapd.stages.alerts import Alerts

_HOUR_NS = 3600 * NS_PER_S
_CALM_NS = 60 * NS_PER_S  # a loose contact that flickers is one alert, not many


class Judged(Frozen):
    """How far the filter has come: when it last had nothing left to judge, and the last burst it kept.

    Nanoseconds since boot; 0: never in this boot. Audit samples and bursts that it could not judge are not
    kept in this sense: they say nothing for the sensor.
    """

    caught_up_ns: int = 0
    kept_ns: int = 0


def nothing_judged() -> Judged:
    """Where no filter reports: then no sensor is ever taken for stuck."""
    return Judged()


class Doubt:
    """`warmup_s` counts from boot: that is when the sensor got its power. `stuck_s` None: it has no level."""

    def __init__(
        self,
        *,
        warmup_s: float,
        stuck_s: float | None,
        sensor: Sensor,
        judged: Callable[[], Judged],
        clock: Clock,
        alerts: Alerts,
    ) -> None:
        self._warm_ns = int(warmup_s * NS_PER_S)
        self._stuck_ns = None if stuck_s is None else int(stuck_s * NS_PER_S)
        self._sensor = sensor
        self._judged = judged
        self._clock = clock
        self._alerts = alerts
        self._believed_ns: dict[str, int] = {}  # of a stuck sensor: its last burst
        self._stuck: frozenset[str] = frozenset()
        self._stuck_seen_ns: int | None = None

    def refusal(self, trigger: Trigger) -> Refusal | None:
        """Why this trigger of a sensor is not believed; None where it is."""
        now_ns = self._clock.boot_ns()
        if trigger.boot_ns < self._warm_ns:
            return Refusal.WARMUP
        self.look()
        return Refusal.STUCK if trigger.sensor in self._stuck and not self._due(trigger, now_ns) else None

    def believed(self, trigger: Trigger) -> None:
        """It became a burst: of a stuck sensor the only one for an hour."""
        self._believed_ns[trigger.sensor] = trigger.boot_ns

    def level(self, activities: tuple[Activity, ...], *, while_active: bool) -> Trigger | None:
        """Which of what is active is to trigger now, without an edge. A stuck one does so once an hour."""
        now_ns = self._clock.boot_ns()
        if now_ns < self._warm_ns:
            return None
        for trigger in (activity.trigger for activity in activities):
            stuck = trigger.sensor in self._stuck
            if self._due(trigger, now_ns) if stuck else while_active:
                return trigger
        return None

    def look(self) -> tuple[Activity, ...]:
        """What is active now; raises and clears the alert."""
        activities = self._sensor.active()
        if self._stuck_ns is None:
            return activities
        now_ns, judged = self._clock.boot_ns(), self._judged()
        # While bursts wait for the filter nobody knows yet that they show nothing.
        known_ns = min(judged.caught_up_ns, now_ns) - self._stuck_ns
        self._stuck = frozenset(
            activity.trigger.sensor
            for activity in activities
            if known_ns >= max(activity.since_ns, judged.kept_ns, self._warm_ns)
        )
        if self._stuck:
            self._stuck_seen_ns = now_ns
            names = ", ".join(sorted(self._stuck))
            self._alerts.raise_(
                "sensor_stuck",
                f"sensor {names} stays active and nothing is seen: one burst an hour",
                "look for sun, heat or a moving branch before the unit, and for water in the plug",
            )
        elif self._stuck_seen_ns is None or now_ns - self._stuck_seen_ns >= _CALM_NS:
            self._alerts.clear("sensor_stuck")
        return activities

    def _due(self, trigger: Trigger, now_ns: int) -> bool:
        last_ns = self._believed_ns.get(trigger.sensor)
        return last_ns is None or now_ns - last_ns >= _HOUR_NS
