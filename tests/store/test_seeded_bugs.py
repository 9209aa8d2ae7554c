"""A bug put into the store on purpose turns its model test red: the test can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machines import find
from tests.store.test_machine import StoreMachine
from trapd.errors import StoreError
from trapd.records import State
from trapd.store.bursts import events
from trapd.store.repair import recovery
from trapd.store.room import eviction
from trapd.store.sqlite import rows, schema


def n_is_not_moved_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(events, "put_meta", lambda *_: None)


def files_without_a_row_are_passed_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery.MediaFiles, "reconcile", lambda *_: None)


def row_ids_come_again(patch: pytest.MonkeyPatch) -> None:
    weaker = tuple(statement.replace("AUTOINCREMENT", "") for statement in schema.MIGRATIONS[0])
    patch.setattr(schema.migrate, "__defaults__", ((weaker,),))


def what_is_not_judged_is_evicted(patch: pytest.MonkeyPatch) -> None:
    captured = eviction.Step("captured", "has_files = 1 AND state = 'captured'", media=True, thumb=True)
    patch.setattr(eviction, "DUE_TO_NOBODY", (*eviction.DUE_TO_NOBODY, captured))


def a_delivered_event_is_not_marked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "_DELIVERED", rows._DELIVERED.replace(State.DELIVERED, State.KEPT))


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [
        n_is_not_moved_on,
        files_without_a_row_are_passed_over,
        row_ids_come_again,
        what_is_not_judged_is_evicted,
        a_delivered_event_is_not_marked,
    ],
)
def test_a_seeded_bug_is_found(
    seed: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(monkeypatch)
    errors = (AssertionError, StoreError)  # whichever promise it breaks first
    find(StoreMachine, seed.__name__.replace("_", " "), walks=200, steps=25, errors=errors)
