"""The demo from its first line to its count: a unit at work, an outage, the catch-up.

`play` is called by `trapd demo` on the main thread. The unit is the real daemon in a process of its own, the
broker a real broker in another. The subscriber belongs to the demo and talks to the broker directly; the unit
goes through a gate, which opens only once the subscriber is subscribed. Every wait is bounded.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from trapd.demo import photographs
from trapd.demo.broker import Broker, EmbeddedBroker, MosquittoBroker, free_port, mosquitto_program
from trapd.demo.follow import Follower
from trapd.demo.gate import Gate
from trapd.demo.narrator import Narrator
from trapd.demo.subscriber import Subscriber
from trapd.demo.tally import Summary, add_up, why_failed
from trapd.demo.unit import TOPIC, Unit
from trapd.errors import Unavailable
from trapd.frozen import Frozen

EVERY_S = 1.5
_NEVER_S = 86_400.0
_TURN_S = 0.2
_FIRST_ARRIVAL_WITHIN_S = 15.0
_FIRST_WAITING_WITHIN_S = 15.0
# Only so that nothing hangs: none is used up but on a machine that is slow, or has much other work.
_ONLINE_WITHIN_S = 90.0
_CATCH_UP_WITHIN_S = 90.0
_SUBSCRIBED_WITHIN_S = 30.0
_HANDED_ON_WITHIN_S = 30.0
_SETTLED_WITHIN_S = 2.0


class Plan(Frozen):
    """What the caller chose. `images` None: the photographs of the extra; `port` 0: a free one."""

    seconds: float
    images: Path | None = None
    port: int = 0
    broker: str = "auto"  # auto | embedded | mosquitto

    @property
    def outage_s(self) -> float:
        """How long the broker stays away: a quarter of the time, from 3 to 7 seconds."""
        return min(max(self.seconds / 4, 3.0), 7.0)


class Outcome(Frozen):
    """The count, and a sentence that says why the demo did not succeed; None when it did."""

    summary: Summary
    failure: str | None


def play(plan: Plan, narrator: Narrator) -> Outcome:
    """Run the demo. Raises UsageError for what the caller named, Unavailable when a part cannot work.

    The unit's files lie in a temporary folder, which is kept when something went wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="trapd-demo-"))
    try:
        outcome = _Scenario(plan, narrator, folder).run()
    except Unavailable as error:
        if not (folder / "unit").exists():
            shutil.rmtree(folder, ignore_errors=True)
            raise
        raise Unavailable(error.message, error.hint or f"the unit's files are kept in {folder}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if outcome.failure is None:
        shutil.rmtree(folder, ignore_errors=True)
        return outcome
    return Outcome(outcome.summary, f"{outcome.failure}; the unit's files are kept in {folder}")


class _Scenario:
    """One run, step by step."""

    def __init__(self, plan: Plan, narrator: Narrator, folder: Path) -> None:
        self._plan = plan
        self._tell = narrator.tell
        self._began_s = time.monotonic()
        self._outage_s = 0.0
        self._back_s = 0.0
        self._behind: set[str] = set()
        self._alerts: dict[str, str] = {}
        pictures = self._photographs(folder)
        self._broker = _broker(plan.broker, folder)
        self._gate = Gate(plan.port, self._broker.port)
        self._unit = Unit(folder, photographs=pictures, port=self._gate.port)
        self._subscriber = Subscriber(self._broker.port, TOPIC)
        self._follower = Follower(self._unit.root, narrator)

    def run(self) -> Outcome:
        """All of it. Whatever happens, no process and no thread is left behind."""
        with ExitStack() as ending:
            ending.callback(self._gate.close)
            ending.callback(self._broker.stop)
            ending.callback(self._subscriber.disconnect)
            ending.callback(self._unit.kill)
            self._begin()
            self._watch(lambda: self._running_s() >= self._plan.seconds / 3, self._plan.seconds)
            self._watch(lambda: bool(self._subscriber.arrivals.events), _FIRST_ARRIVAL_WITHIN_S)
            self._outage()
            self._watch(lambda: self._running_s() >= self._plan.seconds, self._plan.seconds)
            self._end()
            return self._count()

    def _photographs(self, folder: Path) -> Path:
        images = self._plan.images
        if images is not None:
            for fault in photographs.look_through(images):
                self._tell("passed_over", f"passed over {fault}", style="yellow", fault=fault)
            return images.resolve()
        made = folder / "photographs"
        photographs.make_bursts(made)
        names = [scene.name for scene in photographs.SCRIPT]
        self._tell("photographs", photographs.CREDIT, style="dim", credit=photographs.CREDIT)
        self._tell("script", f"The camera sees in turn: {', '.join(names)}.", bursts=names)
        return made

    def _begin(self) -> None:
        self._broker.start()
        self._subscriber.connect(_SUBSCRIBED_WITHIN_S)
        self._gate.open()
        self._unit.start(EVERY_S)
        if not self._watch(lambda: self._subscriber.arrivals.messages > 0, _ONLINE_WITHIN_S):
            raise Unavailable(
                f"the unit did not come online within {_ONLINE_WITHIN_S:.0f} s; its last lines:\n"
                f"{self._unit.last_lines()}"
            )
        self._follower.begin()
        self._tell(
            "online",
            f"The unit is online through port {self._gate.port} and fires every {EVERY_S} s.",
            style="bold",
            port=self._gate.port,
            every_s=EVERY_S,
        )

    def _outage(self) -> None:
        """End the broker's process, let the unit go on without it, and bring it back."""
        # What the broker has acknowledged it may not have handed on yet, and it keeps nothing over its end:
        # that would be the broker's loss, not the unit's. So the unit is cut off before, and the broker ends
        # when all that it took has come.
        self._gate.shut()
        self._hear_the_rest()
        self._subscriber.disconnect()
        before = self._missing()
        self._broker.stop()
        gone_s = time.monotonic()
        self._follower.link_up = False
        self._tell(
            "outage", "The broker's process has been ended. The unit goes on without it.", style="bold red"
        )
        over_s = gone_s + self._plan.outage_s
        self._watch(lambda: time.monotonic() >= over_s, self._plan.outage_s)
        self._watch(lambda: bool(self._missing() - before), _FIRST_WAITING_WITHIN_S)
        self._broker.start()
        self._subscriber.connect(_SUBSCRIBED_WITHIN_S)
        self._behind = self._missing()
        self._gate.open()
        self._follower.link_up = True
        self._back_s = time.monotonic()
        self._outage_s = self._back_s - gone_s
        waiting = len(self._behind)
        self._tell(
            "return",
            f"The broker is back after {self._outage_s:.1f} s. {waiting} kept {_bursts(waiting)} on disk.",
            style="bold",
            outage_s=round(self._outage_s, 1),
            waiting=waiting,
        )

    def _end(self) -> None:
        """Let everything that was kept arrive, and stop the unit."""
        self._watch(lambda: self._follower.look.settled and not self._missing(), _CATCH_UP_WITHIN_S)
        self._unit.stop()
        self._look()
        if not self._follower.look.settled:
            # The last burst was taken just before the stop: a start without triggers delivers it.
            self._unit.start(_NEVER_S)
            self._watch(lambda: self._follower.look.settled, _CATCH_UP_WITHIN_S)
            self._unit.stop()
        self._hear_the_rest()
        self._look()

    def _hear_the_rest(self) -> None:
        """What the broker took from the unit comes: then the unit waits to send all that is missing."""
        self._subscriber.settle(_SETTLED_WITHIN_S)
        self._watch(lambda: self._follower.look.accounts_for(self._subscriber.arrivals), _HANDED_ON_WITHIN_S)

    def _count(self) -> Outcome:
        look, arrivals = self._follower.look, self._subscriber.arrivals
        summary = add_up(
            look.events,
            sum(look.refused.values()),
            arrivals,
            self._unit.root,
            outage_s=self._outage_s,
            seconds=self._running_s(),
        )
        failure = why_failed(summary, look.events, arrivals)
        if failure and self._alerts:
            failure += f" ({'; '.join(self._alerts.values())})"
        return Outcome(summary, failure)

    def _watch(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Follow the unit until something is so; False when it is not so in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._unit.check()
            self._look()
            if until():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TURN_S)

    def _look(self) -> None:
        self._follower.follow()
        self._subscriber.take()
        self._tell_alerts()
        if self._behind and not self._behind & self._missing():
            took_s = time.monotonic() - self._back_s
            self._tell(
                "catch_up",
                f"Caught up: {len(self._behind)} of {len(self._behind)} have arrived, {took_s:.1f} s later.",
                style="bold green",
                bursts=len(self._behind),
                seconds=round(took_s, 1),
            )
            self._behind = set()

    def _tell_alerts(self) -> None:
        alerts = self._subscriber.arrivals.alerts
        for name in alerts.keys() - self._alerts.keys():
            self._tell(
                "alert", f"alert {name}: {alerts[name]}", style="yellow", name=name, message=alerts[name]
            )
        for name in self._alerts.keys() - alerts.keys():
            self._tell("alert_cleared", f"alert {name} cleared", name=name)
        self._alerts = dict(alerts)

    def _missing(self) -> set[str]:
        """Ids of what is due and has not arrived."""
        return self._follower.look.due - self._subscriber.arrivals.events.keys()

    def _running_s(self) -> float:
        return time.monotonic() - self._began_s


def _bursts(count: int) -> str:
    return "burst waits" if count == 1 else "bursts wait"


def _broker(kind: str, folder: Path) -> Broker:
    """The broker asked for; with `auto` the embedded one, or a Mosquitto where that is not installed."""
    embedded = importlib.util.find_spec("iotcore") is not None
    if kind == "mosquitto" or (kind == "auto" and not embedded and mosquitto_program() is not None):
        return MosquittoBroker(free_port(), folder)
    return EmbeddedBroker(free_port(), folder)
