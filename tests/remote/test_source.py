"""Who reads the configuration fails: nothing is said of the document, and no trial goes on for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.common import CONFIRM_S, Unit, document, mark
from trapd.config import Here
from trapd.errors import SourceUnavailable
from trapd.remote.configuration import RemoteConfiguration, Surroundings
from trapd.remote.start import begin
from trapd.settings import Loaded
from trapd.settings.asked import AskedSource


class Failing(Here):
    """Knows where the store is, and ends with everything else while `fails`; counts its uses."""

    fails = True
    asked = 0

    def load(  # type: ignore[override]  # a function there, a method here
        self, path: Path, over: Mapping[str, object] | None = None, *, locked_too: bool = False
    ) -> Loaded:
        self.asked += 1
        if self.fails:
            raise SourceUnavailable("the process that reads the configuration failed: it has ended")
        return Here.load(path, over, locked_too=locked_too)


@pytest.fixture
def source() -> Failing:
    return Failing()


@pytest.fixture
def unit(tmp_path: Path, source: Failing) -> Unit:
    unit = Unit(tmp_path)
    around = Surroundings(lambda _: (), lambda: 0, lambda: 10**12)
    unit.remote = RemoteConfiguration(replace(unit.began, source=source), around, unit.clock)
    return unit


def test_a_document_that_could_not_be_checked_is_told_and_may_come_again(unit: Unit, source: Failing) -> None:
    considered = unit.remote.consider(document(1), kid=None, ready=True)
    assert considered is not None
    assert (considered.code, considered.version, considered.txn) == (422, 1, "t1")
    assert "failed" in considered.faults[0].message
    assert not considered.changed
    assert unit.report["last_attempt"] is None
    source.fails = False
    assert unit.desire(document(1)) == 202


def test_what_the_broker_keeps_is_checked_with_each_connection(unit: Unit, source: Failing) -> None:
    for _ in range(3):
        assert unit.desire(document(1), retained=True) == 422
    source.fails = False
    assert unit.desire(document(1), retained=True) == 202


def test_a_trial_whose_check_fails_ends_with_its_third_start(tmp_path: Path, source: Failing) -> None:
    """The start is counted before the check, and ends with no word on the local file."""
    unit = Unit(tmp_path)
    assert unit.desire(document(1)) == 202
    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            begin(unit.path, source)
    with pytest.raises(SourceUnavailable):
        begin(unit.path, source)
    source.fails = False
    start = begin(unit.path, source)
    assert (start.trial, start.overlay.version) == (None, 0)
    assert start.files.ledger().quarantined == (1,)


def test_a_trial_goes_its_whole_way_with_a_child_that_reads(tmp_path: Path) -> None:
    """As `trapd run` has it: begun, tried, kept; and what is taken back returns."""
    unit = Unit(tmp_path)
    around = Surroundings(lambda _: (), lambda: 0, lambda: 10**12)

    def start() -> None:
        with AskedSource() as source:
            unit.began = begin(unit.path, source)
        unit.remote = RemoteConfiguration(unit.began, around, unit.clock)

    start()
    bad = unit.remote.consider(document(1, {"trigger": {"max_per_huor": 3}}), kid=None, ready=True)
    assert bad is not None
    assert (bad.code, bad.faults[0].hint) == (400, "did you mean trigger.max_per_hour?")
    assert unit.desire(document(1)) == 202
    start()
    assert unit.settings.trigger.max_per_hour == mark(1)
    considered = unit.watch()
    assert considered is not None
    assert considered.code == 200
    assert unit.desire(document(2)) == 202
    start()
    unit.watch(frozenset(), CONFIRM_S + 1)
    start()
    assert unit.settings.trigger.max_per_hour == mark(1)
