"""The commands: what each does, and what it answers. Control's thread.

A command is noted before it is obeyed (see Control). What it does is itself durable, or can be done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trapd.frozen import Frozen
from trapd.ports import Clock, Overlays
from trapd.records import Considered, Trigger
from trapd.stages.capture.orders import REMOTE, Orders
from trapd.stages.control import fetch
from trapd.stages.control.fetch import Answer
from trapd.store import Session
from trapd.wire import inbound
from trapd.wire.authority import CANNOT, CONFLICT, INVALID, OK, ROLLED_BACK, TOO_LARGE
from trapd.wire.inbound import Request

REBOOT_WITHIN_S = 60.0  # a machine that goes down ends its services within seconds

Facts = Mapping[str, int | float | str | bool]


class Means(Frozen):
    """What commands work with. `facts` are a heartbeat's. `no_reboot` says why this unit cannot; `reboot`
    raises OSError; `forget_reboot` takes back what nobody has done.
    """

    clock: Clock
    overlays: Overlays
    orders: Orders
    facts: Callable[[Session], Facts]
    rebirth: Callable[[], None]
    reboot: Callable[[], None]
    no_reboot: Callable[[], str]
    forget_reboot: Callable[[], None]
    chunk_bytes: Callable[[], int]


class Outcome(Frozen):
    """What became of a command. `answer` None: it comes later (`waits_for`: the burst it asked for).

    `considered`: what it did to the configuration. `ends_within_s`: so soon this process ends, or the answer
    was not so.
    """

    answer: Answer | None = None
    waits_for: Trigger | None = None
    considered: Considered | None = None
    ends_within_s: float | None = None


class Asked(Frozen):
    """A command that is to be obeyed."""

    request: Request
    kid: str | None
    ready: bool  # the link has proved itself
    source: str  # for the event of a burst that is asked for


def ping(means: Means, session: Session, asked: Asked) -> Outcome:
    """Nothing but an answer."""
    moment = means.clock.now()
    data = {
        "epoch": session.epoch,
        "mono_ms": moment.boot_ns // 1_000_000,
        "ts_quality": moment.quality.value,
    }
    return _plain(asked, data)


def status(means: Means, session: Session, asked: Asked) -> Outcome:
    """What a heartbeat says, in the same words (yes is 1), and the configuration."""
    facts = {
        name: int(value) if isinstance(value, bool) else value for name, value in means.facts(session).items()
    }
    config = {"version": means.overlays.version, "phase": means.overlays.phase}
    return _plain(asked, {**facts, "config": config})


def capture(means: Means, session: Session, asked: Asked) -> Outcome:
    """A burst now; answered with its event."""
    if asked.request.args:
        return _no_arguments()
    trigger = Trigger(REMOTE, asked.source, means.clock.boot_ns())
    if not means.orders.ask(trigger):
        return Outcome(Answer(CONFLICT, error="too many bursts are asked for already"))
    return Outcome(waits_for=trigger)


def media_get(means: Means, session: Session, asked: Asked) -> Outcome:
    """Photographs by id."""
    return Outcome(fetch.media_get(session, asked.request.args, means.chunk_bytes()))


def arm(means: Means, session: Session, asked: Asked) -> Outcome:
    """Triggers become bursts again."""
    return _armed(means, session, asked, armed=True)


def disarm(means: Means, session: Session, asked: Asked) -> Outcome:
    """Triggers are refused and counted until `arm`, also after a restart."""
    return _armed(means, session, asked, armed=False)


def rebirth(means: Means, session: Session, asked: Asked) -> Outcome:
    """Everything that is retained again; what nobody subscribed to is tried again."""
    if asked.request.args:
        return _no_arguments()
    session.outbox.replay_retained()
    means.rebirth()
    return Outcome(Answer(OK, {}))


def reboot(means: Means, session: Session, asked: Asked) -> Outcome:
    """The machine begins anew; the answer says that it is asked to, and another one if it does not."""
    if asked.request.args:
        return _no_arguments()
    if why := means.no_reboot():
        return Outcome(Answer(CANNOT, error=why))
    try:
        means.reboot()
    except OSError as error:
        return Outcome(Answer(ROLLED_BACK, error=f"it cannot be asked for: {error.strerror or error}"))
    return Outcome(Answer(OK, {}), ends_within_s=REBOOT_WITHIN_S)


def config_patch(means: Means, session: Session, asked: Asked) -> Outcome:
    """A merge patch on the configuration in force."""
    request = asked.request
    try:
        inbound.configuration(request.args)
    except inbound.TooLarge as error:
        return Outcome(Answer(TOO_LARGE, error=str(error)))
    return _configured(means.overlays.patch(request.txn, request.args, kid=asked.kid, ready=asked.ready))


def config_confirm(means: Means, session: Session, asked: Asked) -> Outcome:
    """The operator keeps what is on trial."""
    return _configured(means.overlays.confirm(asked.request.args))


def config_rollback(means: Means, session: Session, asked: Asked) -> Outcome:
    """Back to what was in force before."""
    if asked.request.args:
        return _no_arguments()
    return _configured(means.overlays.go_back(asked.request.txn, kid=asked.kid, ready=asked.ready))


COMMANDS: Mapping[str, Callable[[Means, Session, Asked], Outcome]] = {
    each.__name__: each
    for each in (
        ping, capture, status, media_get, config_patch, config_confirm, config_rollback, arm, disarm, rebirth,
        reboot,
    )
}  # fmt: skip


def _plain(asked: Asked, data: dict[str, Any]) -> Outcome:
    return _no_arguments() if asked.request.args else Outcome(Answer(OK, data))


def _no_arguments() -> Outcome:
    return Outcome(Answer(INVALID, error="this command takes no args"))


def _armed(means: Means, session: Session, asked: Asked, *, armed: bool) -> Outcome:
    if asked.request.args:
        return _no_arguments()
    means.orders.arm(session, armed)
    return Outcome(Answer(OK, {"armed": armed}))


def _configured(considered: Considered) -> Outcome:
    if considered.code == 0:
        error = "link, camera and filter have not shown yet that they work: ask again in a minute"
        return Outcome(Answer(CONFLICT, error=error))
    errors = [
        {"path": fault.path, "message": fault.message, "hint": fault.hint} for fault in considered.faults
    ]
    data: dict[str, Any] = {"version": considered.version, "errors": errors}
    error = "; ".join(f"{fault.path} {fault.message}".strip() for fault in considered.faults[:3])
    return Outcome(Answer(considered.code, data, error), considered=considered)
