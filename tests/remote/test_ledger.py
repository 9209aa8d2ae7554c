"""What is remembered of attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trapd.errors import Fault
from trapd.remote.ledger import VERSION_STEP, Attempt, Ledger, Overlay, Trial, few

versions = st.integers(0, 2**53)


def attempt(version: int, code: int = 202, phase: str = "trial") -> Attempt:
    return Attempt(version, "t", code, phase)


@given(st.lists(st.tuples(st.sampled_from(["noted", "began", "failed"]), versions), max_size=20))
def test_only_what_reached_trial_moves_the_version_and_never_far_nor_back(
    steps: list[tuple[str, int]],
) -> None:
    ledger = Ledger()
    for step, version in steps:
        after: Ledger = getattr(ledger, step)(attempt(version))
        moved = after.stored_version - ledger.stored_version
        assert moved == (min(max(0, version - ledger.stored_version), VERSION_STEP) if step == "began" else 0)
        assert after.last == attempt(version)
        ledger = after


@given(st.lists(versions, min_size=1, max_size=200))
def test_what_failed_is_known_by_its_version_the_latest_last_and_not_without_end(failed: list[int]) -> None:
    ledger = Ledger()
    for version in failed:
        ledger = ledger.failed(attempt(version))
    assert ledger.quarantined[-1] == failed[-1]
    assert len(ledger.quarantined) == len(set(ledger.quarantined)) <= 64


def test_a_version_that_goes_on_trial_again_is_not_among_the_failed() -> None:
    """So that the trial which an operator asked for is not ended by the one before."""
    assert Ledger().failed(attempt(0)).began(attempt(0)).quarantined == ()


def test_of_a_way_back_the_document_that_is_taken_back_is_remembered() -> None:
    old, new = Overlay(1, {}, "one"), Overlay(2, {}, "two")
    assert Trial(new, old, "t", 900, ()).attempt(202, "trial").hash == "two"
    assert Trial(old, new, "t", 900, (), returns_to="rolled_back").attempt(202, "trial") == Attempt(
        1, "t", 202, "trial", "two"
    )


def test_a_report_carries_fifty_faults_and_the_number_of_the_others() -> None:
    faults = tuple(Fault(str(n), "is wrong") for n in range(60))
    assert few(faults[:50]) == faults[:50]
    assert few(faults) == (*faults[:50], Fault("", "there are 10 faults more"))
