"""The document that lies at the broker: it comes again with each connection, whatever became of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.remote.common import Unit, document
from tests.remote.test_configuration import patch, state


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


@pytest.mark.parametrize("outcome", ["committed", "rolled_back", "rejected"])
def test_the_retained_document_does_not_overwrite_the_report_of_a_later_patch(
    unit: Unit, outcome: str
) -> None:
    """It comes again with each connection."""
    unit.commit(document(1))
    lies_there = document(2, {"burst": {"frames": 0}} if outcome == "rejected" else None)
    if outcome == "committed":
        unit.commit(lies_there)
    elif outcome == "rolled_back":
        assert unit.desire(lies_there) == 202
        unit.start()
        unit.fail()
    else:
        assert unit.desire(lies_there) == 400
    assert patch(unit, 2 if outcome == "committed" else 1, 3, {"heartbeat_s": 60}).code == 202
    assert unit.desire(lies_there, retained=True) is None  # it does not wait for the end of the trial
    unit.start()
    assert unit.desire(lies_there, retained=True) is None
    unit.watch()
    good = unit.report
    assert state(unit) == (3, "committed", (3, 200))
    for _ in range(3):
        assert unit.desire(lies_there, retained=True) == (423 if outcome == "rolled_back" else 409)
        assert unit.report == good
        unit.start()
    assert unit.report == good


def test_one_of_an_older_version_that_was_not_seen_before_is_reported_also_where_it_lay_there(
    unit: Unit,
) -> None:
    """Somebody has published it while the unit was away."""
    unit.commit(document(1))
    unit.commit(document(2))
    assert unit.desire(document(1, {"heartbeat_s": 99}), retained=True) == 409
    assert state(unit) == (2, "rejected", (1, 409))


def test_one_that_is_published_again_is_an_attempt(unit: Unit) -> None:
    """Who wants an older one back, and forgot its number, is told."""
    unit.commit(document(1))
    unit.commit(document(2))
    assert unit.desire(document(1)) == 409
    assert state(unit) == (2, "rejected", (1, 409))
