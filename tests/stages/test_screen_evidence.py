"""What the whole burst adds to its verdict: change, light, a second look, and nothing to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.fakes.camera import small
from tests.fakes.classifier import FakeClassifier
from tests.stages.driver import Bench
from tests.stages.screen_driver import EMPTY, ScreenDriver, screening
from trapd.records import FrameScore, Look, Small, State


class FakeScene:
    """The Scene port. Knobs: `seen`, what it says; `parts`, of how many tiles. `looked`: pictures a look."""

    def __init__(self, seen: Look, parts: int = 0) -> None:
        self.seen = seen
        self.parts = parts
        self.looked: list[int] = []

    def look(self, pictures: Iterable[Small | bytes]) -> Look:
        self.looked.append(len(list(pictures)))
        return replace(self.seen, shift=None)

    def shift(self, scores: Sequence[FrameScore | None]) -> float | None:
        return self.seen.shift

    def tiles(self, photograph: bytes) -> list[Small]:
        return [small()] * self.parts


def with_scene(screen: ScreenDriver, scene: FakeScene) -> ScreenDriver:
    screen.stage._scene = scene
    return screen


def test_movement_keeps_what_a_frame_alone_would_not(bench: Bench) -> None:
    with screening(bench, FakeClassifier(0.25)) as screen:
        with_scene(screen, FakeScene(Look(night=False, change=3.0, shift=0.2)))
        judged = screen.judge(bench.burst())
    assert judged.state is State.KEPT
    assert judged.verdict is not None
    assert judged.verdict.score is not None
    assert judged.verdict.score > 0.35


def test_the_night_has_its_own_threshold(bench: Bench) -> None:
    with screening(bench, FakeClassifier(0.25), threshold_night=0.2) as screen:
        scene = FakeScene(Look(night=True))
        night = with_scene(screen, scene).judge(bench.burst())
        scene.seen = Look(night=False)
        day = screen.judge(bench.burst())
        assert {name.split("|")[4] for name in screen.session.audits.totals()} == {"day", "night"}
    assert (night.state, day.state) == (State.KEPT, State.DISCARDED)


def test_an_uncertain_burst_is_looked_at_twice_and_a_clear_one_is_not(bench: Bench) -> None:
    classifier = FakeClassifier(0.25)
    with screening(bench, classifier) as screen:
        with_scene(screen, FakeScene(Look(), parts=4))
        uncertain = screen.judge(bench.burst(frames=1))
        assert len(classifier.judged) == 5
        assert uncertain.state is State.DISCARDED
        classifier.score = EMPTY
        screen.judge(bench.burst(frames=1))
        assert len(classifier.judged) == 6


def test_what_the_second_look_finds_is_kept(bench: Bench) -> None:
    classifier = FakeClassifier(0.25)
    classifier.judging = lambda: setattr(classifier, "score", 0.9 if classifier.judged else 0.25)
    with screening(bench, classifier) as screen:
        with_scene(screen, FakeScene(Look(), parts=4))
        assert screen.judge(bench.burst(frames=1)).state is State.KEPT


def test_the_second_look_ends_when_its_time_is_over_or_others_wait(bench: Bench) -> None:
    classifier = FakeClassifier(0.25)
    classifier.judging = lambda: bench.clock.advance(1.5)
    with screening(bench, classifier) as screen:
        with_scene(screen, FakeScene(Look(), parts=4))
        screen.judge(bench.burst(frames=1))
        assert len(classifier.judged) == 3
        for _ in range(15):
            bench.burst(frames=1)
        screen.turn()
        assert len(classifier.judged) == 4


def test_what_cannot_be_seen_is_kept_as_unknown_and_told_when_it_goes_on(bench: Bench) -> None:
    scene = FakeScene(Look(hidden="fog"))
    with screening(bench, FakeClassifier(EMPTY)) as screen:
        with_scene(screen, scene)
        for number in range(5):
            assert ("view" in bench.alerts.names()) is False, number
            judged = screen.judge(bench.burst())
            assert judged.verdict is not None
            assert (judged.state, judged.verdict.verdict) == (State.KEPT, "unknown")
        assert "view" in bench.alerts.names()
        scene.seen = Look()
        assert screen.judge(bench.burst()).state is State.DISCARDED
        assert "view" not in bench.alerts.names()


def test_of_a_long_burst_frames_from_all_over_it_are_compared(bench: Bench) -> None:
    scene = FakeScene(Look())
    with screening(bench, FakeClassifier(EMPTY)) as screen:
        with_scene(screen, scene).judge(bench.burst(frames=20))
    assert scene.looked == [7]
