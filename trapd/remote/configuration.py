"""The configuration from afar, as Control sees it: judged, tried, kept or taken back. Control's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trapd.config import Settings, load
from trapd.config.overlay import locked, patched, redacted
from trapd.errors import BadDocument, Fault
from trapd.ports import Clock
from trapd.records import Considered
from trapd.remote import proposal
from trapd.remote.ledger import Attempt, Trial
from trapd.remote.proposal import Desired, Present
from trapd.remote.start import Start, roll_back
from trapd.rules import NS_PER_S
from trapd.wire import codec
from trapd.wire.authority import CONFLICT, INVALID, OK, ON_TRIAL, QUARANTINED, ROLLED_BACK, Refused

log = logging.getLogger("trapd.remote")

_REMEMBER_EVERY_S = 10.0

NEEDS = {
    "link": "the unit did not come back to the broker",
    "heard": "the broker did not take its subscriptions",
    "puback": "the broker did not take what it published",
    "probe": "its own probe did not come back",
    "camera": "the camera gave no frame",
    "filter": "the filter did not pass its self-test",
}
"""What has to be seen before a trial is kept, and what is said where it was not."""
_OF_THE_LINK = ("link", "heard", "puback", "probe")
_IF_IT_WORKED = ("camera", "filter")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a proposal is judged by. `cannot`: what this hardware cannot do; `used_bytes`: what is stored."""

    cannot: Callable[[Settings], tuple[Fault, ...]]
    used_bytes: Callable[[], int]


class RemoteConfiguration:
    """The Overlays port. `start`: what this process began with."""

    def __init__(self, start: Start, surroundings: Surroundings, clock: Clock) -> None:
        self._start = start
        self._files = start.files
        self._around = surroundings
        self._clock = clock
        self._ledger = start.files.ledger()
        self._overlay = start.overlay
        self._trial = start.trial
        self._seen: frozenset[str] = frozenset()
        self._began_ns = clock.boot_ns()
        self._ran_before_s = start.trial.ran_s if start.trial is not None else 0.0
        self._remembered_s = self._ran_before_s

    @property
    def on_trial(self) -> bool:
        """Whether this process runs on a configuration that has to prove itself."""
        return self._trial is not None

    @property
    def version(self) -> int:
        """The version in force; 0 for the local file alone."""
        return self._overlay.version

    @property
    def phase(self) -> str:
        """Of the latest attempt."""
        if self._trial is not None:
            return "trial"
        return self._ledger.last.phase if self._ledger.last is not None else "local"

    def report(self) -> bytes:
        """The payload of `config/reported`."""
        last = self._ledger.last
        faults = () if last is None else last.errors
        if self._start.set_aside and not faults:
            faults = (Fault("", self._start.set_aside),)
        return codec.reported(
            version=self._overlay.version,
            phase=self.phase,
            hash_=self._start.loaded.hash,
            attempt=None if last is None else (last.version, last.txn, last.code, faults),
            doc=redacted(self._overlay.doc),
            locked=locked(self._start.loaded.settings),
        )

    def consider(self, document: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered | None:
        """A whole document; None for the one of the latest attempt: it comes again with each connection."""
        if self._ledger.last is not None and proposal.hash_of(document) == self._ledger.last.hash:
            return None
        try:
            desired = proposal.read(document, kid)
        except Refused as error:
            version, txn = document.get("version"), document.get("txn")
            attempt = Attempt(
                version if isinstance(version, int) and abs(version) <= 2**53 else 0,
                txn[:128] if isinstance(txn, str) else "",
                error.code,
                "rejected",
                proposal.hash_of(document),
                error.faults,
            )
            return self._rejected(attempt)
        return self._propose(desired, ready=ready, phase="committed")

    def patch(self, txn: str, args: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered:
        """A merge patch on what is in force; then as a whole document."""
        base, version, patch = (args.get(name) for name in ("base", "version", "patch"))
        if set(args) != {"base", "version", "patch"} or not isinstance(patch, dict):
            return _invalid(txn, 'config_patch takes "base", "version" and "patch", an object')
        if self._trial is not None:
            return Considered(CONFLICT, self._trial.overlay.version, txn, (_BUSY,))
        if base != self._overlay.version or isinstance(base, bool):
            message = f"the version in force is {self._overlay.version}, and not the base"
            return Considered(CONFLICT, self._overlay.version, txn, (Fault("base", message, "look again"),))
        doc = patched(self._overlay.doc, patch)
        document = {"v": 1, "version": version, "txn": txn, "doc": doc}
        try:
            desired = replace(proposal.read(document, None), kid=kid)
        except (Refused, BadDocument) as error:
            faults = error.faults if isinstance(error, Refused) else (Fault("", error.message),)
            return Considered(INVALID, 0, txn, faults)
        return self._propose(desired, ready=ready, phase="committed")

    def confirm(self, args: Mapping[str, Any]) -> Considered:
        """The operator keeps what is on trial; `version` names it."""
        trial = self._trial
        version = args.get("version")
        if trial is None or (version is not None and version != trial.overlay.version):
            message = "nothing is on trial" if trial is None else "another version is on trial"
            return Considered(CONFLICT, self.version, faults=(Fault("version", message),))
        self._trial = replace(trial, confirmed=True, ran_s=self._ran_s())
        self._files.update(self._trial)
        return Considered(OK, trial.overlay.version, trial.txn)

    def go_back(self, txn: str, *, ready: bool) -> Considered:
        """End the trial; without one, try what was in force before."""
        if self._trial is not None:
            return replace(self._give_up((Fault("", "the operator took it back"),)), code=OK, txn=txn)
        previous = self._files.previous()
        if self._overlay.version == 0 or previous == self._overlay:
            return Considered(CONFLICT, self.version, txn, (Fault("", "there is nothing to go back to"),))
        if previous.version in self._ledger.quarantined:
            message = f"version {previous.version}, which was before, has failed a trial since"
            return Considered(QUARANTINED, previous.version, txn, (Fault("", message),))
        return self._propose(Desired(previous, txn, confirm=False), ready=ready, phase="rolled_back")

    def watch(self, seen: frozenset[str]) -> Considered | None:
        """Keep the trial that has proved itself, end the one whose time is over."""
        trial = self._trial
        self._seen = seen
        if trial is None:
            return None
        ran_s = self._ran_s()
        missing = [need for need in trial.needs if need not in seen]
        if not missing and (trial.confirmed or not trial.confirm):
            return self._keep(trial)
        if ran_s > trial.deadline_s:
            reasons = [NEEDS.get(need, need) for need in missing] or ["the operator did not confirm it"]
            return self._give_up(tuple(Fault("", reason) for reason in reasons))
        if ran_s - self._remembered_s >= _REMEMBER_EVERY_S:
            self._remembered_s = ran_s
            self._trial = replace(trial, ran_s=ran_s)
            self._files.update(self._trial)
        return None

    def _propose(self, desired: Desired, *, ready: bool, phase: str) -> Considered:
        overlay = desired.overlay
        if self._trial is not None:
            return Considered(CONFLICT, overlay.version, desired.txn, (_BUSY,))
        present = self._present()
        try:
            if phase == "committed":
                proposal.judge(desired, present)
            else:
                proposal.fitting(overlay.doc, present, may_rotate=True)
        except Refused as error:
            return self._rejected(
                Attempt(overlay.version, desired.txn, error.code, "rejected", overlay.hash, error.faults)
            )
        if not ready:
            return Considered(0, overlay.version, desired.txn)
        return self._begin(desired, phase)

    def _begin(self, desired: Desired, phase: str) -> Considered:
        overlay = desired.overlay
        trial = Trial(
            overlay,
            desired.txn,
            deadline_s=self._start.loaded.settings.remote.confirm_s,
            # What did not work before need not work now: a dead camera must not bar the way to its cure.
            needs=(*_OF_THE_LINK, *(need for need in _IF_IT_WORKED if need in self._seen)),
            confirm=desired.confirm,
            returns_to=phase,
        )
        attempt = Attempt(overlay.version, desired.txn, ON_TRIAL, "trial", overlay.hash)
        self._ledger = self._ledger.began(attempt)
        self._files.begin(trial, self._ledger)
        log.warning("version %d goes on trial", overlay.version)
        return Considered(ON_TRIAL, overlay.version, desired.txn, changed=True, restart=True)

    def _keep(self, trial: Trial) -> Considered:
        overlay = trial.overlay
        attempt = Attempt(overlay.version, trial.txn, OK, trial.returns_to, overlay.hash)
        ledger = self._ledger.noted(attempt)
        self._files.promote(trial, ledger)
        self._ledger, self._trial = ledger, None
        log.warning("version %d has proved itself and is kept", overlay.version)
        return Considered(OK, overlay.version, trial.txn, changed=True)

    def _give_up(self, faults: tuple[Fault, ...]) -> Considered:
        trial = self._trial
        assert trial is not None  # noqa: S101 - for mypy; the callers have looked
        roll_back(self._files, trial, faults)
        self._trial, self._ledger, self._overlay = None, self._files.ledger(), self._files.committed()
        version = trial.overlay.version
        return Considered(ROLLED_BACK, version, trial.txn, faults, changed=True, restart=True)

    def _rejected(self, attempt: Attempt) -> Considered:
        ledger = self._ledger.noted(attempt)
        self._files.note(ledger)
        self._ledger = ledger
        return Considered(attempt.code, attempt.version, attempt.txn, attempt.errors, changed=True)

    def _present(self) -> Present:
        loaded = self._start.loaded
        return Present(
            settings=loaded.settings,
            ledger=self._ledger,
            now=self._clock.now(),
            effective=lambda doc: load(loaded.path, doc).settings,
            cannot=self._around.cannot,
            used_bytes=self._around.used_bytes(),
        )

    def _ran_s(self) -> float:
        return self._ran_before_s + (self._clock.boot_ns() - self._began_ns) / NS_PER_S


_BUSY = Fault("", "another version is on trial", "this one is considered when that has ended")


def _invalid(txn: str, message: str) -> Considered:
    return Considered(INVALID, 0, txn, (Fault("args", message),))
