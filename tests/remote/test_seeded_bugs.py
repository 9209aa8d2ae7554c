"""A bug put into the remote configuration on purpose turns its model test red: the test can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from tests.machines import find
from tests.remote.test_machine import RemoteMachine
from trapd.errors import TrapdError
from trapd.remote import start
from trapd.remote.configuration import RemoteConfiguration
from trapd.remote.files import COMMITTED, PREVIOUS, TRIAL, ConfigFiles
from trapd.remote.ledger import Ledger, Trial
from trapd.store.files import durable


def a_trial_is_removed_before_it_is_committed(patch: pytest.MonkeyPatch) -> None:
    def promote(self: ConfigFiles, trial: Trial, ledger: Ledger) -> None:
        self._remove(TRIAL)
        self._write(COMMITTED, asdict(trial.overlay))
        self._write(PREVIOUS, asdict(trial.before))
        self.note(ledger)

    patch.setattr(ConfigFiles, "promote", promote)


def what_was_committed_is_forgotten_by_a_promotion_done_twice(patch: pytest.MonkeyPatch) -> None:
    def promote(self: ConfigFiles, trial: Trial, ledger: Ledger) -> None:
        committed = self.committed()
        self._write(COMMITTED, asdict(trial.overlay))
        self._write(PREVIOUS, asdict(committed))
        self.note(ledger)
        self._remove(TRIAL)

    patch.setattr(ConfigFiles, "promote", promote)


def a_file_is_written_in_its_place(patch: pytest.MonkeyPatch) -> None:
    right = durable.write_new

    def write_new(file: object, data: bytes) -> None:
        final = file.with_suffix("")  # type: ignore[attr-defined]  # a path
        final.unlink(missing_ok=True)
        right(final, data)
        right(file, data)  # type: ignore[arg-type]  # for the rename

    patch.setattr(durable, "write_new", write_new)


def starts_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(start, "_MOST_STARTS", 10**6)


def a_failed_version_is_not_remembered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "failed", Ledger.noted)


def what_arrives_during_a_trial_is_judged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RemoteConfiguration, "busy", property(lambda self: self._restarting))


def nothing_is_finished_at_a_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConfigFiles, "settle", ConfigFiles.trial)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [
        a_trial_is_removed_before_it_is_committed,
        what_was_committed_is_forgotten_by_a_promotion_done_twice,
        a_file_is_written_in_its_place,
        starts_are_not_counted,
        a_failed_version_is_not_remembered,
        what_arrives_during_a_trial_is_judged,
        nothing_is_finished_at_a_start,
    ],
)
def test_a_seeded_bug_is_found(
    seed: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(monkeypatch)
    errors = (AssertionError, TrapdError)  # whichever promise it breaks first
    find(RemoteMachine, seed.__name__.replace("_", " "), walks=300, steps=30, errors=errors)
