"""Screen when the model or the disk fails, its thumbnails, and as a whole."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.camera import small
from tests.fakes.classifier import INFO, FakeClassifier
from tests.fakes.clock import FakeClock
from tests.fakes.store import FULL, FaultyStore
from tests.stages.driver import UNIT, Bench
from tests.stages.driver import bench as make_bench
from tests.stages.screen_driver import EMPTY, rows, screening
from trapd.errors import StoreCorrupt, StoreError
from trapd.records import Detection, FrameScore, Small, State
from trapd.rules import NS_PER_S

# --- the model ---------------------------------------------------------------------------------------------


def test_without_a_filter_everything_is_kept_unknown_by_none(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, None) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.verdict.verdict, judged.verdict.model) == (State.KEPT, "unknown", "none")
    assert (judged.verdict.sha256, judged.verdict.threshold, judged.verdict.score) == (None, None, None)
    assert screen.told == [None]
    assert bench.alerts.names() == ()


def test_a_model_that_does_not_open_is_an_alert_and_tried_again(bench: Bench) -> None:
    classifier = FakeClassifier()
    classifier.fail_open = True
    with screening(bench, classifier) as screen:
        first = screen.judge(bench.burst())
        assert first.verdict is not None
        assert (first.state, first.verdict.verdict, first.verdict.model) == (State.KEPT, "unknown", "none")
        assert bench.alerts.names() == ("model",)
        classifier.fail_open = False
        assert screen.judge(bench.burst()).verdict == replace(first.verdict)  # too early to try again
        bench.clock.advance(60.0)
        judged = screen.judge(bench.burst())
    assert judged.verdict is not None
    assert judged.verdict.verdict == "unclassified"
    assert bench.alerts.names() == ()
    assert screen.told == [None, INFO]
    assert bench.session.counters.all()["unjudged"] == 2


@pytest.mark.parametrize("fails", [True, False])
def test_a_stop_while_a_model_is_opened_leaves_the_burst_for_the_next_start(
    bench: Bench, fails: bool
) -> None:
    """And writes nothing more: the stop need not have waited, and the store may be closed."""
    classifier = FakeClassifier()
    classifier.fail_open = fails
    event = bench.burst()
    seen: list[bool] = []
    with screening(bench, classifier, opened=False) as screen:

        def stopped() -> None:
            seen.append(screen.stage.may_be_left)
            screen.stage.stop.set()

        classifier.opening = stopped
        assert not screen.stage.may_be_left
        left = screen.judge(event)
        assert (seen, screen.stage.may_be_left) == ([True], False)
    assert (left.state, screen.told, bench.alerts.names()) == (State.CAPTURED, [None], ())


def test_a_model_that_is_not_there_is_looked_for_ever_more_seldom_also_where_nothing_is_to_be_judged(
    bench: Bench,
) -> None:
    classifier = FakeClassifier()
    classifier.fail_open = True
    with screening(bench, classifier, opened=False) as screen:
        tries = []
        for minute in range(60):
            before = classifier.tries
            screen.turn()
            if classifier.tries > before:
                tries.append(minute)
            bench.clock.advance(60.0)
        assert tries == [0, 1, 3, 8, 18, 28, 38, 48, 58]
        assert bench.alerts.names() == ("model",)
        classifier.fail_open = False
        bench.clock.advance(600.0)
        screen.turn(2)
    assert bench.alerts.names() == ()
    assert screen.told[-1] == INFO


def test_a_model_that_fails_at_work_keeps_the_burst_and_is_opened_again(bench: Bench) -> None:
    classifier = FakeClassifier(EMPTY)
    with screening(bench, classifier) as screen:
        assert screen.judge(bench.burst()).state is State.DISCARDED
        classifier.fail_judge = True
        failed = screen.judge(bench.burst())
        assert failed.verdict is not None
        assert (failed.state, failed.verdict.verdict) == (State.KEPT, "unknown")
        assert failed.verdict.reason == "the model gave NaN"
        assert (bench.alerts.names(), classifier.is_open) == (("model",), False)
        classifier.fail_judge = False
        bench.clock.advance(60.0)
        assert screen.judge(bench.burst()).state is State.DISCARDED
    assert classifier.opened == 2
    assert bench.alerts.names() == ()
    assert screen.told == [INFO, None, INFO]


def test_who_is_told_of_the_model_may_find_the_store_full(bench: Bench) -> None:
    classifier = FakeClassifier()
    with screening(bench, classifier) as screen:

        def full() -> None:
            raise FULL

        screen.announcing = full
        event = bench.burst()
        assert screen.judge(event).state is State.CAPTURED
        screen.announcing = lambda: None
        assert screen.judge(event).state is State.KEPT
    assert screen.told == [INFO]


# --- thumbnails --------------------------------------------------------------------------------------------


def test_thumbnails_are_pictures_of_at_most_that_size(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(), thumbnail_bytes=700) as screen:
        judged = screen.judge(event)
    assert judged.thumb is not None
    data = (bench.store.root / judged.thumb[0]).read_bytes()
    assert len(data) == judged.thumb[1] <= 700
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert picture.format == "JPEG"


@pytest.mark.parametrize("most", [0, 10])
def test_there_is_none_where_none_is_wanted_or_fits(bench: Bench, most: int) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(), thumbnail_bytes=most) as screen:
        assert screen.judge(event).thumb is None
    assert rows(bench) == ["event"]


class Boxes(FakeClassifier):
    """Sees something in every frame, each time more clearly."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        score = 0.5 + 0.1 * len(self.judged)
        super().judge(picture)
        return FrameScore(score, {}, (Detection(0, "unclassified", score, (0.0, 0.0, 1.0, 1.0)),))


def test_the_thumbnail_shows_the_best_frame(bench: Bench) -> None:
    event = bench.burst()
    bench.waiting.put(event.id, [small()] * 3)
    for medium in event.media[:2]:
        (bench.store.root / str(medium.path)).unlink()
    with screening(bench, Boxes()) as screen:
        assert screen.judge(event).thumb is not None


@pytest.mark.parametrize("error", [FULL, StoreError("cannot write it: Permission denied", "")])
def test_an_event_without_a_thumbnail_is_still_an_event(bench: Bench, error: StoreError) -> None:
    bench.store.faults.make("thumb", error)
    event = bench.burst()
    with screening(bench, FakeClassifier()) as screen:
        judged = screen.judge(event)
    assert (judged.state, judged.thumb) == (State.KEPT, None)
    assert rows(bench) == ["event"]


# --- the disk ----------------------------------------------------------------------------------------------


def test_a_verdict_that_finds_no_room_leaves_the_burst_captured(bench: Bench) -> None:
    event = bench.burst()
    bench.store.faults.make("settle")
    with screening(bench, FakeClassifier()) as screen:
        before_ns = bench.clock.boot_ns()
        for _ in range(3):
            assert screen.judge(event).state is State.CAPTURED
        assert bench.clock.boot_ns() - before_ns == 15 * NS_PER_S  # it does not spin
        bench.store.faults.end()
        assert screen.judge(event).state is State.KEPT
    assert rows(bench) == ["event", f"thumb/{event.id}"]


def test_a_damaged_database_ends_the_stage(bench: Bench) -> None:
    bench.burst()
    bench.store.faults.make("settle", StoreCorrupt("the database is damaged", ""))
    with screening(bench, FakeClassifier()) as screen, pytest.raises(StoreCorrupt):
        screen.turn()


# --- what ended two processes ------------------------------------------------------------------------------


class Fatal(FakeClassifier):
    """Ends whoever asks it."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        raise AssertionError("judged what must not be judged")


def test_what_has_ended_two_processes_is_kept_without_a_look(tmp_path: Path) -> None:
    """Neither the model nor the thumbnail's decoder sees it a third time, and a full store ends nothing."""
    with make_bench(tmp_path) as first:
        doomed = first.burst()
    crash(tmp_path)
    crash(tmp_path)
    with make_bench(tmp_path) as again, screening(again, Fatal()) as screen:
        assert again.store.recovered.give_up == (doomed.id,)
        again.store.faults.make("thumb", AssertionError("looked at what must not be looked at"))
        again.store.faults.make("settle")
        assert screen.judge(doomed).state is State.CAPTURED
        again.store.faults.end("settle")
        judged = screen.judge(doomed)
        assert judged.verdict is not None
        assert (judged.state, judged.verdict.verdict) == (State.KEPT, "unknown")
        assert judged.verdict.reason == "judging it has ended two processes"
        assert (judged.attempts, judged.thumb) == (2, None)


def crash(root: Path) -> None:
    """A process that ends before it has judged anything."""
    FaultyStore.make(root, UNIT, FakeClock()).close(clean=False)


# --- the stage as a whole ----------------------------------------------------------------------------------


def test_run_judges_what_waits_and_lets_go_of_the_model(bench: Bench) -> None:
    events = [bench.burst(frames=1) for _ in range(3)]
    classifier = FakeClassifier()
    with screening(bench, classifier, opened=False) as screen:
        judged = iter(events)

        def stop_after_the_last() -> None:
            next(judged)
            if len(classifier.judged) == 2:
                screen.stage.stop.set()

        classifier.judging = stop_after_the_last
        screen.stage.run()
        assert screen.told == [INFO]
    assert [event.state for event in bench.events()] == [State.KEPT] * 3
    assert not classifier.is_open


def test_a_model_that_breaks_its_promise_ends_the_stage_and_is_closed(bench: Bench) -> None:
    """Start-up is recovery: the burst has one attempt more, and at two it is kept unjudged."""
    bench.burst()
    with screening(bench, Fatal(), opened=False) as screen, pytest.raises(AssertionError):
        screen.stage.run()
    assert bench.events()[0].state is State.CAPTURED


@pytest.mark.parametrize(("frame_s", "state"), [(2.0, State.CAPTURED), (0.1, State.KEPT)])
def test_a_stop_does_not_wait_for_a_slow_model(bench: Bench, frame_s: float, state: State) -> None:
    """The burst is judged by the next process, as if this one had never begun: no attempt is counted."""
    bench.burst(frames=3)
    classifier = FakeClassifier()
    with screening(bench, classifier, opened=False) as screen:

        def take_long() -> None:
            bench.clock.advance(frame_s)
            screen.stage.stop.set()

        classifier.judging = take_long
        screen.stage.run()
    (event,) = bench.events()
    assert event.state is state
    assert len(classifier.judged) == (1 if state is State.CAPTURED else 3)
