"""How far the filter has come, and what speaks for a sensor: what Capture's doubt goes by."""

from __future__ import annotations

from tests.fakes.classifier import FakeClassifier
from tests.stages.driver import Bench
from tests.stages.screen_driver import EMPTY, screening
from trapd.records import Moment, TsQuality
from trapd.stages.capture.doubt import Judged


def test_it_has_caught_up_when_nothing_is_left_to_judge(bench: Bench) -> None:
    bench.burst()
    with screening(bench, FakeClassifier(EMPTY)) as screen:
        assert screen.stage.judged == Judged()
        screen.turn()
        assert screen.stage.judged.caught_up_ns == 0  # there may be more
        bench.clock.advance(5)
        now_ns = bench.clock.boot_ns()
        screen.turn()
        assert screen.stage.judged == Judged(caught_up_ns=now_ns)


def test_what_is_kept_speaks_for_its_sensor_at_the_time_of_the_burst(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(0.9)) as screen:
        bench.clock.advance(60)
        screen.turn()
        assert screen.stage.judged.kept_ns == event.moment.boot_ns


def test_what_is_empty_does_not_nor_as_a_sample(bench: Bench) -> None:
    for fraction in (0.0, 1.0):
        bench.burst()
        with screening(bench, FakeClassifier(EMPTY), audit_fraction=fraction) as screen:
            screen.turn()
            assert screen.stage.judged.kept_ns == 0


def test_what_nobody_could_judge_does_not(bench: Bench) -> None:
    bench.burst()
    with screening(bench, None) as screen:
        screen.turn()
        assert screen.stage.judged.kept_ns == 0


def test_a_burst_of_another_boot_has_another_clock(bench: Bench) -> None:
    bench.burst()
    with screening(bench, FakeClassifier(0.9)) as screen:
        screen.stage._clock = Rebooted(bench.clock.boot_ns())  # type: ignore[assignment]  # a clock of the next boot
        screen.turn()
        assert screen.stage.judged.kept_ns == 0


class Rebooted:
    """The clock of a later boot, as far as Screen asks it."""

    def __init__(self, boot_ns: int) -> None:
        self._boot_ns = boot_ns

    def boot_ns(self) -> int:
        return self._boot_ns

    def now(self) -> Moment:
        return Moment(0, self._boot_ns, "another-boot", TsQuality.UNSET)
