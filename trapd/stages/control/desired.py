"""The configuration's own leaves: what is desired, what is reported, how a trial goes. Control's thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from trapd.errors import StoreFull
from trapd.frozen import Frozen
from trapd.ports import Clock, Overlays, Received
from trapd.records import Considered, Kind, Note
from trapd.rules import NS_PER_S
from trapd.stages.control.put_off import PutOff
from trapd.stages.control.trail import Trail
from trapd.store import Session
from trapd.store.queue.obeyed import Outgoing
from trapd.wire import inbound
from trapd.wire.authority import CONFLICT, INVALID, TOO_LARGE, Authority, Refused
from trapd.wire.signing import SIGNATURE
from trapd.wire.topics import CONFIG_DESIRED, CONFIG_REPORTED, PROBE
from trapd.wire.unreadable import Unreadable

log = logging.getLogger("trapd.control")

_PROBE_EVERY_S = 10.0
_REPORT_AGAIN_S = 10.0
_FOUND_OUT_S = 60.0  # by then a camera and a filter that work have shown it
_PROVED = frozenset({"link", "puback"})


class Eyes(Frozen):
    """What this process has seen: of the link (Deliver.standing), its own probe, the camera, the filter."""

    standing: Callable[[], frozenset[str]]
    echo: Callable[[], bytes | None]
    camera_seen: Callable[[], bool]
    model_ready: Callable[[], bool]


class Untold(Frozen):
    """`notes` that the trail does not have yet; `keys` of all that it has once it has these."""

    notes: tuple[Note, ...]
    keys: frozenset[str]


class Desired:
    """`restart` asks for a process that begins with what is then in force, or on trial."""

    def __init__(
        self,
        *,
        topic: str,
        clock: Clock,
        authority: Authority,
        overlays: Overlays,
        eyes: Eyes,
        trail: Trail,
        restart: Callable[[], None],
    ) -> None:
        self._topic = topic
        self._clock = clock
        self._authority = authority
        self._overlays = overlays
        self._eyes = eyes
        self._trail = trail
        self._restart = restart
        self._leaving = False  # another process takes over: nothing new is begun
        self._began_ns = clock.boot_ns()
        self._put_off = PutOff()
        self._is_put_off = False  # what was looked at last
        self._probe = os.urandom(16).hex().encode()
        self._probe_due_ns = 0
        self._report_due = False
        self._report_again_ns = 0

    @property
    def ready(self) -> bool:
        """Whether a trial may begin: the link has proved itself under this configuration, and it stays.

        Camera and filter as well, or they have had their time: what worked before a trial has to work in it,
        and a document that waits at the broker comes before either has shown that it does.
        """
        if self._leaving or not self._eyes.standing() >= _PROVED:
            return False
        if self._eyes.camera_seen() and self._eyes.model_ready():
            return True
        return self._clock.boot_ns() - self._began_ns > _FOUND_OUT_S * NS_PER_S

    def take(self, session: Session, message: Received) -> None:
        """A document of `config/desired`. Empty: no opinion. Raises StoreFull: then it has to come again."""
        if not message.payload:
            self._put_off.forget(session)
            return
        try:
            document = inbound.document(message.payload)
        except Unreadable as error:
            code = TOO_LARGE if isinstance(error, inbound.TooLarge) else INVALID
            refused = Refused(code, str(error) if code == TOO_LARGE else error.message)
            if self._authority.unsigned:
                self._reject(session, message, code, error)
            else:  # it may be a stranger's: nobody can tell whether it is signed
                self._refuse(session, refused, error.members)
            return
        try:
            inbound.configuration(document)
        except inbound.TooLarge as error:
            # To check the signature of so much takes a small machine long: it is refused, whoever signed it.
            if self._authority.unsigned and document.get(SIGNATURE) is None:
                self._reject(session, message, TOO_LARGE, error)
            else:
                self._refuse(session, Refused(TOO_LARGE, str(error)), document)
            return
        try:
            kid = self._authority.check(self._topic, document)
        except Refused as error:
            self._refuse(session, error, document)
            return
        if kid is not None:
            self._overlays.heard(kid)
        self._judge(
            session,
            message,
            kid,
            lambda: self._overlays.consider(document, kid=kid, ready=self.ready, retained=message.retained),
        )

    def _reject(self, session: Session, message: Received, code: int, error: Unreadable) -> None:
        """One that cannot be read, or is too much, of somebody who may."""
        faults = error.faults

        def judged() -> Considered | None:
            return self._overlays.reject(
                message.payload, code, faults, error.members, retained=message.retained
            )

        self._judge(session, message, None, judged)

    def _judge(
        self, session: Session, message: Received, kid: str | None, judged: Callable[[], Considered | None]
    ) -> None:
        was_busy = self._overlays.busy
        considered = judged()
        if considered is None:
            return
        self._is_put_off = considered.code == 0 or (was_busy and considered.code == CONFLICT)
        if self._is_put_off and self._put_off.message is not message:
            self._put_off.keep(session, message)
        if considered.code:
            self._tell(session, considered, kid)
        if not self._is_put_off and self._put_off.message is not message:
            with suppress(StoreFull):
                self._put_off.forget(session)  # this is the newer word

    def begin(self, session: Session) -> None:
        """Called once, before all else."""
        self._put_off.begin(session, self._topic)

    def due(self) -> Received | None:
        """A document that had to wait, and may be taken now; then `was_due` follows, or it is due again."""
        if self._overlays.busy or not self.ready:
            return None
        self._is_put_off = False
        return self._put_off.message

    def was_due(self, session: Session) -> None:
        """It was taken; unless it waits again it is forgotten."""
        if not self._is_put_off:
            with suppress(StoreFull):
                self._put_off.forget(session)

    def look(self, session: Session) -> None:
        """Every turn: how the trial goes, and whether what had to wait may be considered now."""
        seen = set(self._eyes.standing())
        if self._overlays.on_trial:
            self._send_probe(session, seen)
        for name, is_seen in (
            ("probe", self._eyes.echo() == self._probe),
            ("camera", self._eyes.camera_seen()),
            ("filter", self._eyes.model_ready()),
        ):
            seen |= {name} if is_seen else set()
        considered = self._overlays.watch(frozenset(seen))
        if considered is not None:
            self._tell(session, considered, None)
        if self._report_due and self._clock.boot_ns() >= self._report_again_ns:
            self.report(session)

    def report(self, session: Session) -> None:
        """Publish what is in force and what became of the latest attempt, and record what is not recorded.

        Raises StoreFull; it is done later then.
        """
        self._report_due = True
        self._report_again_ns = self._clock.boot_ns() + int(_REPORT_AGAIN_S * NS_PER_S)
        untold = self.untold(session)
        session.obeyed.tell((self.reported(),), *map(self._trail.of, untold.notes), told=untold.keys)
        self._report_due = False

    def untold(self, session: Session) -> Untold:
        """What the configuration's files know, and the trail does not: a power cut or a full store lay
        between, or it was this process's start that did it.
        """
        notes = self._overlays.notes()
        told = session.obeyed.told()
        return Untold(
            tuple(note for note in notes if note.key not in told), frozenset(note.key for note in notes)
        )

    def reported(self) -> Outgoing:
        """The report as it stands."""
        return Outgoing(Kind.CONTROL, CONFIG_REPORTED, self._overlays.report(), retain=True)

    def follow(self, considered: Considered) -> None:
        """Restart where it says so."""
        if considered.restart:
            log.warning("restarting with another configuration")
            self._leaving = True
            self._restart()

    def _tell(self, session: Session, considered: Considered, kid: str | None) -> None:
        message = "; ".join(f"{fault.path} {fault.message}".strip() for fault in considered.faults[:3])
        if message:
            log.warning("version %d: %d %s", considered.version, considered.code, message)
        if considered.code >= INVALID and not considered.restart:
            session.counters.add("commands_refused")
        try:
            if considered.changed:  # noted in the files already, and recorded from there
                with suppress(StoreFull):  # then it is due, see `look`
                    self.report(session)
            else:
                record = self._trail.record(
                    CONFIG_DESIRED,
                    considered.code,
                    txn=considered.txn or None,
                    kid=kid,
                    version=considered.version,
                    message=message,
                )
                session.obeyed.tell((), record)
        finally:
            # What has begun or ended in the files goes on: a full disk may take no word of it, and must not
            # leave the unit with a configuration that has failed.
            self.follow(considered)

    def _refuse(self, session: Session, error: Refused, members: Mapping[str, Any]) -> None:
        """What cannot be read, or is nobody's who may: recorded, and forgotten."""
        log.warning("%s refused with %d: %s", CONFIG_DESIRED, error.code, error)
        session.counters.add("commands_refused")
        record = self._trail.record(
            CONFIG_DESIRED,
            error.code,
            txn=inbound.txn_of(members),
            version=inbound.version_of(members),
            message=error.message,
        )
        session.obeyed.tell((), record)

    def _send_probe(self, session: Session, standing: set[str]) -> None:
        """A word to itself, to see that it can still be reached; again now and then until it comes back."""
        now_ns = self._clock.boot_ns()
        if not standing >= {"link", "heard"} or now_ns < self._probe_due_ns:
            return
        if self._eyes.echo() != self._probe:
            self._probe_due_ns = now_ns + int(_PROBE_EVERY_S * NS_PER_S)
            with suppress(StoreFull):  # the trial ends in time all the same
                session.outbox.put(Kind.CONTROL, PROBE, self._probe, retain=False)
