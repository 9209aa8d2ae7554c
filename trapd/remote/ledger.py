"""The values that a remote configuration goes through. Frozen; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trapd.errors import Fault
from trapd.frozen import Frozen, field, replace
from trapd.records import Note
from trapd.wire.topics import CONFIG_DESIRED

VERSION_STEP = 1_000_000
"""The most by which one document moves the stored version: a forged one does not close remote control."""
_QUARANTINED = 64
_KNOWN = 16
_MOST_FAULTS = 50
_NOTES = 16
_NOTED_FAULTS = 3


class Overlay(Frozen):
    """What lies over the local file. Version 0 with an empty document: nothing does.

    `hash` is of the whole document that brought it, signature included.
    """

    version: int = 0
    doc: dict[str, Any] = field(default_factory=dict)
    hash: str = ""


class By(Frozen):
    """What asked for it: its leaf and the key that signed it. None of anybody's: the unit's own doing."""

    leaf: str = CONFIG_DESIRED
    kid: str | None = None


ITSELF = By()


class Trial(Frozen):
    """A configuration that has to prove itself.

    `starts`: processes that have begun with it. `ran_s`: how long they ran, of `deadline_s` (the old
    configuration's). `needs`: what has to be seen before it is kept. `confirm`: the operator has to say so
    too, and `confirmed` that they have. `returns_to`: the phase that a promotion reports. `before`: what was
    in force when it began, and is what the operator may go back to once it is kept. `by`: what asked for it.
    `retiring`: a key that its list of trusted ones leaves out, see Ledger.
    """

    overlay: Overlay
    before: Overlay
    txn: str
    deadline_s: float
    needs: tuple[str, ...]
    confirm: bool = False
    confirmed: bool = False
    starts: int = 0
    ran_s: float = 0.0
    returns_to: str = "committed"
    by: By = ITSELF
    retiring: str = ""

    def attempt(self, code: int, phase: str, errors: tuple[Fault, ...] = ()) -> Attempt:
        """What is remembered of it.

        Of a way back, the hash of the document that is taken back: that one still lies at the broker, and its
        coming again says nothing new.
        """
        document = self.before.hash if self.returns_to == "rolled_back" else self.overlay.hash
        return Attempt(self.overlay.version, self.txn, code, phase, document, errors)


class Attempt(Frozen):
    """The latest document that was considered, and what became of it."""

    version: int
    txn: str
    code: int
    phase: str  # committed, trial, rolled_back, rejected, local
    hash: str = ""
    errors: tuple[Fault, ...] = ()


class Ledger(Frozen):
    """What is remembered of attempts: the highest version that reached trial, the latest attempt, the
    versions that failed, by their hashes the documents that were considered last, and what the trail is to
    say of them.

    `retiring`: the line of a key that is trusted no more but for this: no key of the new list has signed
    anything yet, and perhaps nobody has them. `keys`: those that the document in force names as trusted, once
    more, for its own file may be damaged; empty where it names none.
    """

    stored_version: int = 0
    last: Attempt | None = None
    quarantined: tuple[int, ...] = ()
    known: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    retiring: str = ""
    keys: tuple[str, ...] = ()

    def noted(self, attempt: Attempt, by: By = ITSELF) -> Ledger:
        """The same with another latest attempt, and a note of it for the trail."""
        others = tuple(hash_ for hash_ in self.known if hash_ != attempt.hash)
        known = (*others, attempt.hash)[-_KNOWN:]
        number = self.notes[-1].number + 1 if self.notes else 1
        said = message_of(attempt.errors)
        note = Note(number, by.leaf, attempt.code, attempt.version, attempt.txn, by.kid, said)
        return replace(self, last=attempt, known=known, notes=(*self.notes, note)[-_NOTES:])

    def asked(self, by: By, code: int, txn: str) -> Ledger:
        """The same, its latest note being what a command of another name has brought about."""
        note = replace(self.notes[-1], leaf=by.leaf, kid=by.kid, code=code, txn=txn)
        return replace(self, notes=(*self.notes[:-1], note))

    def began(self, attempt: Attempt, by: By = ITSELF) -> Ledger:
        """A document has reached trial: only this moves the stored version."""
        version = max(self.stored_version, min(attempt.version, self.stored_version + VERSION_STEP))
        others = tuple(version for version in self.quarantined if version != attempt.version)
        return replace(self.noted(attempt, by), stored_version=version, quarantined=others)

    def failed(self, attempt: Attempt) -> Ledger:
        """A trial has failed: its version is not tried again."""
        others = tuple(version for version in self.quarantined if version != attempt.version)
        return replace(self.noted(attempt), quarantined=(*others, attempt.version)[-_QUARANTINED:])


def keys_named(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """The trusted keys that a document names."""
    remote = doc.get("remote")
    named = remote.get("trusted_keys") if isinstance(remote, Mapping) else None
    return tuple(str(line) for line in named) if isinstance(named, list) else ()


def message_of(faults: tuple[Fault, ...]) -> str:
    """The first of them as one line of the trail."""
    return "; ".join(f"{fault.path} {fault.message}".strip() for fault in faults[:_NOTED_FAULTS])


def few(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """As many as a report may carry over a slow link, and a word on the others."""
    more = len(faults) - _MOST_FAULTS
    return faults if more <= 0 else (*faults[:_MOST_FAULTS], Fault("", f"there are {more} faults more"))
