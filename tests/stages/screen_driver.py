"""Drives a Screen turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tests.fakes.classifier import FakeClassifier
from tests.stages.driver import Bench
from trapd.records import Event, ModelInfo
from trapd.stages.screen import Screen, ScreenPlan

PLAN = ScreenPlan(
    threshold=None,
    classes=("animal", "person", "vehicle"),
    audit_fraction=0.0,
    thumbnail_bytes=24576,
    discard_at_once=False,
)
EMPTY = 0.02


class ScreenDriver:
    """A Screen, turn by turn, begun as `run` begins it."""

    def __init__(self, bench: Bench, classifier: FakeClassifier | None, plan: ScreenPlan) -> None:
        self.bench = bench
        self.told: list[ModelInfo | None] = []
        self.announcing: Callable[[], None] = lambda: None
        self.session = bench.store.session()
        self.stage = Screen(
            plan,
            classifier=classifier,
            store=bench.store,
            waiting=bench.waiting,
            alerts=bench.alerts,
            clock=bench.clock,
            announce=self._announce,
        )

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.stage._turn(self.session)

    def judge(self, event: Event) -> Event:
        """One turn, and what became of `event`."""
        self.turn()
        found = self.bench.session.events.get(event.id)
        assert found is not None
        return found

    def _announce(self, model: ModelInfo | None) -> None:
        self.announcing()
        self.told.append(model)


@contextmanager
def screening(
    bench: Bench, classifier: FakeClassifier | None, *, opened: bool = True, **plan: Any
) -> Iterator[ScreenDriver]:
    driver = ScreenDriver(bench, classifier, replace(PLAN, **plan))
    try:
        if opened:
            driver.stage._open_model()
        yield driver
    finally:
        driver.session.close()


def rows(bench: Bench) -> list[str]:
    """The leaves of what waits about events."""
    return [row.leaf for row in bench.session.outbox.next(1000, max_bytes=10**9) if row.event_id is not None]
