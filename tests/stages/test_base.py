"""The supervisor: first failure shown, silence noticed, stages ended in order."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from trapd.errors import CameraLost, StageFailed, StageStuck
from trapd.stages import base
from trapd.stages.base import Stage, Supervisor


class Steady(Stage):
    """Beats until it is told to stop, and notes when it ended."""

    def __init__(self, name: str, ended: list[str]) -> None:
        super().__init__()
        self.name = name
        self._ended = ended

    def run(self) -> None:
        while not self.stop.wait(0.01):
            self.beat()
        self._ended.append(self.name)


class Failing(Stage):
    """Raises as soon as it runs."""

    name = "failing"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self._error = error or ValueError("the part is broken")

    def run(self) -> None:
        raise self._error


class Returning(Stage):
    """Returns without being told to."""

    name = "returning"

    def run(self) -> None:
        return


class Silent(Stage):
    """Never beats; ends when told to."""

    name = "silent"
    patience_s = 0.0

    def run(self) -> None:
        self.stop.wait(30)


@pytest.mark.parametrize("failing", [False, True])
def test_when_all_have_ended_in_good_order_each_is_told(failing: bool) -> None:
    told: list[list[str]] = []
    ended: list[str] = []

    class Last(Steady):
        def ended(self) -> None:
            told.append(list(ended))

    stages = [Last("last", ended), Steady("steady", ended), *([Failing()] if failing else [])]
    try:
        with Supervisor(stages):
            pass
    except StageFailed:
        assert failing
    assert told == ([] if failing else [["last", "steady"]])


def test_the_first_failure_ends_the_watch_with_its_cause() -> None:
    ended: list[str] = []
    with (
        pytest.raises(StageFailed, match=r"failing.*the part is broken") as caught,
        Supervisor([Steady("steady", ended), Failing()]) as supervisor,
    ):
        supervisor.watch(threading.Event(), lambda: None)
    assert isinstance(caught.value.__cause__, ValueError)
    assert ended == ["steady"]


@pytest.mark.parametrize(
    ("error", "has_stack"),
    [(ValueError("a fault of the program"), True), (CameraLost("no frame", "cable"), False)],
)
def test_the_log_has_a_stack_where_the_program_is_at_fault(
    error: Exception, has_stack: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StageFailed, match=str(error)[:8]), Supervisor([Failing(error)]) as supervisor:
        supervisor.watch(threading.Event(), lambda: None)
    assert "stage failing failed" in caplog.text
    assert ("Traceback" in caplog.text) is has_stack


def test_a_stage_that_returns_unasked_is_a_failure() -> None:
    with pytest.raises(StageFailed, match="without being told"), Supervisor([Returning()]) as supervisor:
        supervisor.watch(threading.Event(), lambda: None)


def test_a_silent_stage_ends_the_watch() -> None:
    with pytest.raises(StageStuck, match="silent"), Supervisor([Silent()]) as supervisor:
        supervisor.watch(threading.Event(), lambda: None)


def test_an_orderly_stop_ends_the_stages_in_order() -> None:
    ended: list[str] = []
    stop = threading.Event()
    with Supervisor([Steady(name, ended) for name in ("first", "second", "third")]) as supervisor:
        stop.set()
        supervisor.watch(stop, lambda: None)
    assert ended == ["first", "second", "third"]


def test_the_watchdog_is_fed_only_while_every_stage_progresses() -> None:
    fed: list[int] = []
    stop = threading.Event()

    def alive() -> None:
        fed.append(1)
        stop.set()

    with Supervisor([Steady("steady", [])]) as supervisor:
        supervisor.watch(stop, alive)
    assert fed

    fed.clear()
    with pytest.raises(StageStuck), Supervisor([Silent()]) as supervisor:
        supervisor.watch(threading.Event(), alive)
    assert not fed


@pytest.mark.parametrize("is_loading", [True, False])
def test_a_stop_waits_for_a_stage_unless_it_may_be_left_behind(
    is_loading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_LEFT_AFTER_S", 0.0)
    monkeypatch.setattr(base, "_STOP_WITHIN_S", 1.0)
    comes_back = threading.Event()
    ended: list[str] = []

    class Loading(Stage):
        name = "loading"

        def run(self) -> None:
            self.may_be_left = is_loading
            comes_back.wait()

    stop = threading.Event()
    stop.set()
    refused: Any = contextlib.nullcontext() if is_loading else pytest.raises(StageStuck, match="loading")
    try:
        with refused, Supervisor([Loading(), Steady("steady", ended)]) as supervisor:
            supervisor.watch(stop, lambda: None)
        assert not is_loading or ended == ["steady"]
    finally:
        comes_back.set()


def test_a_failure_during_the_stop_is_shown_too() -> None:
    class Late(Stage):
        name = "late"

        def run(self) -> None:
            self.stop.wait(30)
            raise ValueError("could not end well")

    stop = threading.Event()
    stop.set()
    with pytest.raises(StageFailed, match="could not end well"), Supervisor([Late()]) as supervisor:
        supervisor.watch(stop, lambda: None)
