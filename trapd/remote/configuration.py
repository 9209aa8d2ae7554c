"""The configuration from afar, as Control sees it: judged, tried, kept or taken back. Control's thread.

What raises StoreError has changed nothing. What must come to an end does not wait for the disk: a trial whose
time is over ends with this process also where that cannot be noted, for the next start does not count it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from trapd.errors import BadDocument, Fault, SourceUnavailable, StoreError
from trapd.frozen import replace
from trapd.ports import Clock
from trapd.records import Considered, Note
from trapd.remote import proposal
from trapd.remote.files import Damaged, kept
from trapd.remote.here import Surroundings, ThisUnit
from trapd.remote.ledger import ITSELF, Attempt, By, Ledger, Trial, few
from trapd.remote.proposal import Desired
from trapd.remote.start import Start, roll_back, settle, taken_back
from trapd.remote.stored import DEEPEST
from trapd.rules import NS_PER_S
from trapd.settings.overlay import depth_within, locked, patched, redacted, rotation_is_locked
from trapd.wire import codec, signing
from trapd.wire.authority import CANNOT, CONFLICT, INVALID, OK, ON_TRIAL, QUARANTINED, ROLLED_BACK, Refused
from trapd.wire.topics import command

log = logging.getLogger("trapd.remote")

_AGAIN_S = 10.0

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
_Judged = Callable[[bool], Considered]  # told whether it comes again
_ON_TRIAL = "another version is on trial"
_LATER = Fault("", _ON_TRIAL, "this one is considered when that has ended")
_BUSY = Fault("", _ON_TRIAL, "ask again when that has ended")


class RemoteConfiguration:
    """The Overlays port. `start`: what this process began with."""

    def __init__(self, start: Start, surroundings: Surroundings, clock: Clock) -> None:
        self._start = start
        self._files = start.files
        self._here = ThisUnit(start.loaded.path, start.source, surroundings, clock)
        self._clock = clock
        self._ledger = start.files.ledger()
        self._overlay = start.overlay
        self._trial = start.trial
        self._unsettled = start.unsettled
        self._restarting = False
        self._seen: frozenset[str] = frozenset()
        self._began_ns = clock.boot_ns()
        self._ran_before_s = start.trial.ran_s if start.trial is not None else 0.0
        self._again_s = 0.0 if start.unsettled else _AGAIN_S

    def moved_to(self, around: Surroundings) -> None:
        """The store was opened anew within this process. Called while no stage runs."""
        self._here = ThisUnit(self._start.loaded.path, self._start.source, around, self._clock)

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

    @property
    def busy(self) -> bool:
        """Whether a trial is not over: on, about to begin or to end with a restart, or not settled."""
        return self._trial is not None or self._restarting or self._unsettled

    @property
    def retiring(self) -> str:
        """The line of a key that is trusted although the list leaves it out; empty for none."""
        if rotation_is_locked(self._start.loaded.settings):
            return ""  # somebody stood there: theirs is the list
        return self._ledger.retiring if self._trial is None else self._trial.retiring

    def notes(self) -> tuple[Note, ...]:
        """The latest attempts that the files know, the oldest first."""
        return self._ledger.notes

    def report(self) -> bytes:
        """The payload of `config/reported`."""
        last = self._ledger.last
        if self._start.set_aside:
            last = last or Attempt(self._overlay.version, "", ROLLED_BACK, "local")
            last = replace(last, errors=(*last.errors, Fault("", self._start.set_aside)))
        return codec.reported(
            version=self._overlay.version,
            phase=self.phase,
            hash_=self._start.loaded.hash,
            attempt=None if last is None else (last.version, last.txn, last.code, last.errors),
            doc=redacted(self._overlay.doc),
            locked=locked(self._start.loaded.settings),
        )

    def consider(
        self, document: Mapping[str, Any], *, kid: str | None, ready: bool, retained: bool = False
    ) -> Considered | None:
        """A whole document; None for the one of the latest attempt: it comes again with each connection.

        So does one of an earlier attempt, where a patch or a way back was the latest. It is no attempt then,
        and what is reported stays.
        """
        try:
            hash_ = proposal.hash_of(document)
        except BadDocument as error:
            return Considered(INVALID, faults=(Fault("", error.message),))

        def judged(is_again: bool) -> Considered:
            try:
                desired = proposal.read(document, kid)
            except Refused as error:
                faults = (*error.faults, *self._within(document))
                attempt = proposal.refused(document, hash_, error.code, faults)
                return self._rejected(attempt, By(kid=kid), is_again=is_again)
            return self._propose(desired, By(kid=kid), ready=ready, phase="committed", is_again=is_again)

        return self._once(hash_, document, retained, judged)

    def reject(
        self,
        payload: bytes,
        code: int,
        faults: tuple[Fault, ...],
        members: Mapping[str, Any],
        *,
        retained: bool,
    ) -> Considered | None:
        """A document that cannot be read as a whole, of somebody who may; None where it comes again.

        `members`: what could be read of it.
        """
        hash_ = proposal.hash_of_bytes(payload)

        def judged(is_again: bool) -> Considered:
            all_of_them = (*faults, *proposal.faults_beside(members, faults), *self._within(members))
            attempt = proposal.refused(members, hash_, code, all_of_them)
            return self._rejected(attempt, ITSELF, is_again=is_again)

        return self._once(hash_, members, retained, judged)

    def _once(
        self, hash_: str, document: Mapping[str, Any], retained: bool, judged: _Judged
    ) -> Considered | None:
        """What becomes of it, unless it is the latest again, or somebody else's turn."""
        is_again = retained and hash_ in self._ledger.known
        if hash_ in self._unchanged() or (is_again and self.busy):
            return None
        if self.busy:
            return Considered(CONFLICT, *proposal.named(document), (_LATER,))
        return judged(is_again)

    def heard(self, kid: str) -> None:
        """This trusted key has signed something: where its list was not proved yet, it is now."""
        if not self.retiring or kid == signing.kid_of_line(self.retiring):
            return
        try:
            if self._trial is not None:
                self._files.update(trial := replace(self._trial, retiring="", ran_s=self._ran_s()))
                self._trial = trial
            else:
                self._files.note(ledger := replace(self._ledger, retiring=""))
                self._ledger = ledger
        except StoreError as error:  # the next word that it signs does it
            log.error("the key that was replaced stays trusted: %s", error)

    def patch(self, txn: str, args: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered:
        """A merge patch on what is in force; then as a whole document."""
        base, version, patch = (args.get(name) for name in ("base", "version", "patch"))
        if set(args) != {"base", "version", "patch"} or not isinstance(patch, dict):
            return _invalid(txn, 'config_patch takes "base", "version" and "patch", an object')
        if not depth_within(patch, DEEPEST):
            return _invalid(txn, f"patch has more than {DEEPEST} objects or lists within each other")
        if self.busy:
            return Considered(CONFLICT, self._overlay.version, txn, (_BUSY,))
        if type(base) is not int or base != self._overlay.version:
            message = f"must be the version in force, which is {self._overlay.version}"
            return Considered(CONFLICT, self._overlay.version, txn, (Fault("base", message, "look again"),))
        document = {"v": 1, "version": version, "txn": txn, "doc": patched(self._overlay.doc, patch)}
        try:
            desired = replace(proposal.read(document, None), kid=kid)
        except Refused as error:
            return Considered(INVALID, 0, txn, few((*error.faults, *self._within(document))))
        return self._propose(desired, By(command("config_patch"), kid), ready=ready, phase="committed")

    def confirm(self, args: Mapping[str, Any]) -> Considered:
        """The operator keeps what is on trial; `version` names it."""
        trial = self._trial
        if not set(args) <= {"version"}:
            return _invalid("", 'config_confirm takes "version", and nothing else')
        version = args.get("version")
        if trial is None or (version is not None and version != trial.overlay.version):
            message = "nothing is on trial" if trial is None else _ON_TRIAL
            return Considered(CONFLICT, self.version, faults=(Fault("", message),))
        confirmed = replace(trial, confirmed=True, ran_s=self._ran_s())
        self._files.update(confirmed)
        self._trial = confirmed
        return Considered(OK, trial.overlay.version, trial.txn)

    def go_back(self, txn: str, *, kid: str | None = None, ready: bool) -> Considered:
        """End the trial; without one, try what was in force before.

        Never to other trusted keys: a list of keys changes only by what one of them has signed.
        """
        by = By(command("config_rollback"), kid)
        if self._trial is not None:
            faults = (Fault("", "the operator took it back"),)
            return replace(self._give_up(faults, by, txn), code=OK, txn=txn)
        if self.busy:
            return Considered(CONFLICT, self._overlay.version, txn, (_BUSY,))
        try:
            previous = self._files.previous()
        except Damaged as error:
            return Considered(CONFLICT, self.version, txn, (Fault("", error.message),))
        if self._overlay.version == 0 or previous == self._overlay:
            return Considered(CONFLICT, self.version, txn, (Fault("", "there is nothing to go back to"),))
        # The local file alone is no version that could be sent again with another number.
        if previous.version and previous.version in self._ledger.quarantined:
            message = f"version {previous.version}, which was before, has failed a trial since"
            return Considered(QUARANTINED, previous.version, txn, (Fault("", message),))
        return self._propose(Desired(previous, txn, confirm=False), by, ready=ready, phase="rolled_back")

    def watch(self, seen: frozenset[str]) -> Considered | None:
        """Keep the trial that has proved itself, end the one whose time is over."""
        trial = self._trial
        self._seen = seen
        if trial is None:
            return self._settled() if self._unsettled and self._is_time() else None
        missing = [need for need in trial.needs if need not in seen]
        reasons = [NEEDS.get(need, need) for need in missing]
        if trial.confirm and not trial.confirmed and not missing:
            reasons = ["the operator did not confirm it"]
        if not reasons:
            try:
                return self._keep(trial)
            except StoreError as error:
                reasons = [error.message]
        if self._ran_s() > trial.deadline_s:
            return self._give_up(tuple(Fault("", reason) for reason in reasons))
        if self._is_time():
            self._remember(replace(trial, ran_s=self._ran_s()))
        return None

    def _unchanged(self) -> frozenset[str]:
        """Of the latest attempt; after a way back, of what was left as well as of what is in force again."""
        last = self._ledger.last
        if last is None:
            return frozenset()
        went_back = last.phase == "rolled_back" and last.code == OK
        return frozenset({last.hash, self._overlay.hash} if went_back else {last.hash})

    def _propose(
        self, desired: Desired, by: By, *, ready: bool, phase: str, is_again: bool = False
    ) -> Considered:
        overlay = desired.overlay
        is_new = phase == "committed"
        try:
            with self._start.source:
                present = self._here.present(self._overlay, self._ledger, locked_too=is_new)
                if is_new:
                    wanted = proposal.judge(desired, present)
                else:
                    wanted = proposal.fitting(overlay.doc, present, is_new=False)
        except SourceUnavailable as error:  # no word on the document, which may come again
            return Considered(CANNOT, overlay.version, desired.txn, (Fault("", error.message, error.hint),))
        except Refused as error:
            faults = few(error.faults)
            attempt = Attempt(overlay.version, desired.txn, error.code, "rejected", overlay.hash, faults)
            return self._rejected(attempt, by, is_again=is_again)
        if not ready:
            return Considered(0, overlay.version, desired.txn)
        return self._begin(desired, by, phase, proposal.retires(by.kid, present, wanted, self.retiring))

    def _begin(self, desired: Desired, by: By, phase: str, retiring: str) -> Considered:
        overlay = desired.overlay
        trial = Trial(
            overlay,
            self._overlay,
            desired.txn,
            deadline_s=self._start.loaded.settings.remote.confirm_s,
            # What did not work before need not work now: a dead camera must not bar the way to its cure.
            needs=(*_OF_THE_LINK, *(need for need in _IF_IT_WORKED if need in self._seen)),
            confirm=desired.confirm,
            returns_to=phase,
            by=by,
            retiring=retiring,
        )
        ledger = self._ledger.began(trial.attempt(ON_TRIAL, "trial"), by)
        self._files.begin(trial, ledger)
        self._ledger, self._restarting = ledger, True
        log.warning("version %d goes on trial", overlay.version)
        return Considered(ON_TRIAL, overlay.version, desired.txn, changed=True, restart=True)

    def _keep(self, trial: Trial) -> Considered:
        ledger = kept(self._ledger, trial)
        self._files.promote(trial, ledger)
        self._ledger, self._trial = ledger, None
        log.warning("version %d has proved itself and is kept", trial.overlay.version)
        return Considered(OK, trial.overlay.version, trial.txn, changed=True)

    def _give_up(self, faults: tuple[Fault, ...], by: By = ITSELF, txn: str = "") -> Considered:
        """`by` with the `txn` of its command, where it was the operator's word and the answer is 200."""
        trial = self._trial
        assert trial is not None  # noqa: S101 - for mypy; the callers have looked

        def noted(ledger: Ledger) -> Ledger:
            after = taken_back(ledger, trial, faults)
            return after.asked(by, OK, txn) if txn else after

        try:
            self._ledger = roll_back(self._files, trial, faults, noted)
        except StoreError as error:
            log.error("that cannot be noted yet: %s", error)
            self._ledger = noted(self._ledger)
        self._trial, self._restarting = None, True
        self._overlay = trial.before
        version = trial.overlay.version
        return Considered(ROLLED_BACK, version, trial.txn, faults, changed=True, restart=True)

    def _settled(self) -> Considered | None:
        """End what this process's start could not; None while the disk still refuses."""
        try:
            settle(self._files)
        except StoreError as error:
            log.error("the configuration on trial cannot be ended yet: %s", error)
            return None
        self._ledger, self._unsettled = self._files.ledger(), False
        last = self._ledger.last
        if last is None:
            return None
        return Considered(last.code, last.version, last.txn, last.errors, changed=True)

    def _rejected(self, attempt: Attempt, by: By, *, is_again: bool = False) -> Considered:
        if is_again:
            return Considered(attempt.code, attempt.version, attempt.txn, attempt.errors)
        ledger = self._ledger.noted(attempt, by)
        self._files.note(ledger)
        self._ledger = ledger
        return Considered(attempt.code, attempt.version, attempt.txn, attempt.errors, changed=True)

    def _within(self, document: Mapping[str, Any]) -> tuple[Fault, ...]:
        """What is wrong within the overlay of a document that is refused for other reasons already."""
        try:
            with self._start.source:
                present = self._here.present(self._overlay, self._ledger)
                return proposal.faults_within(document.get("doc"), present)
        except (Refused, SourceUnavailable):
            return ()

    def _remember(self, trial: Trial) -> None:
        """How long it ran. Without that, the count of starts still ends it."""
        self._trial = trial
        try:
            self._files.update(trial)
        except StoreError as error:
            log.error("how long the trial has run cannot be noted: %s", error)

    def _is_time(self) -> bool:
        """Whether it is time to try again what need not be tried at every turn."""
        here_s = self._ran_s() - self._ran_before_s
        if here_s < self._again_s:
            return False
        self._again_s = here_s + _AGAIN_S
        return True

    def _ran_s(self) -> float:
        return self._ran_before_s + (self._clock.boot_ns() - self._began_ns) / NS_PER_S


def _invalid(txn: str, message: str) -> Considered:
    return Considered(INVALID, 0, txn, (Fault("args", message),))
