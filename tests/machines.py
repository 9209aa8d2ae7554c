"""State machines: walks over one, told at the end; and the seeded bug that such walks must find."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.figures import tell


def walk(machine: type[RuleBasedStateMachine], name: str, *, steps: int, **more: Any) -> None:
    """As many walks of so many steps as Hypothesis's profile says. `more`: of its settings."""
    walks, began = _Walks(machine), time.monotonic()
    run_state_machine_as_test(walks.as_class, settings=settings(stateful_step_count=steps, **more))
    tell(f"state machine, {name}: {walks.count} walks of {steps} steps ({time.monotonic() - began:.0f} s)")


def find(
    machine: type[RuleBasedStateMachine],
    name: str,
    *,
    walks: int,
    steps: int,
    errors: type[Exception] | tuple[type[Exception], ...] = AssertionError,
    **more: Any,
) -> None:
    """A bug is in the code now: so many walks find it, always the same ones. `errors`: what it may break."""
    tried = _Walks(machine)
    with pytest.raises(errors):
        run_state_machine_as_test(
            tried.as_class,
            settings=settings(
                max_examples=walks,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                report_multiple_bugs=False,
                **more,
            ),
        )
    tell(f"seeded bug, {name}: found in walk {tried.count} of at most {walks}")


class _Walks:
    """Begins one, and counts it."""

    def __init__(self, machine: type[RuleBasedStateMachine]) -> None:
        self._machine = machine
        self.count = 0
        self.as_class: Any = self  # Hypothesis only ever calls it

    def __call__(self) -> RuleBasedStateMachine:
        self.count += 1
        return self._machine()
