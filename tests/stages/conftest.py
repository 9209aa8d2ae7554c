"""Stages here run on the test's thread and on a clock that it moves: they need not wait for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stages.driver import Bench, CaptureDriver, DeliverDriver
from tests.stages.driver import bench as make_bench
from trapd.stages.capture import stage as capture


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture's inbox is looked into and not waited at."""
    monkeypatch.setattr(capture, "_TURN_S", 0.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with make_bench(tmp_path / "store") as made:
        yield made


@pytest.fixture
def unit(bench: Bench) -> Iterator[CaptureDriver]:
    """A Capture that is armed."""
    driver = CaptureDriver(bench)
    driver.turn()
    yield driver
    driver.close()


@pytest.fixture
def link(bench: Bench) -> Iterator[DeliverDriver]:
    """A Deliver that is not connected yet."""
    driver = DeliverDriver(bench)
    yield driver
    driver.close()
