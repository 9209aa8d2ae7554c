"""What the unit says of its own errors."""

from __future__ import annotations

from tests.fakes.classifier import FakeClassifier
from tests.stages.driver import Bench
from tests.stages.screen_driver import EMPTY, screening
from trapd.stages.upkeep.missed import Missed
from trapd.store.bursts.audits import JUDGED

CLASSES = ("animal", "person", "vehicle")


def settled(bench: Bench, count: int, score: float = EMPTY) -> None:
    for _ in range(count):
        bench.burst(frames=1)
    with screening(bench, FakeClassifier(score), audit_fraction=1.0) as screen:
        screen.turn(count)


def tell(bench: Bench, hits: str) -> None:
    samples = bench.session.audits.samples()
    found = zip(samples, hits, strict=False)
    bench.session.audits.tell({one.id: "animal" if hit == "x" else "empty" for one, hit in found})


def test_nothing_is_said_before_anything_was_settled(bench: Bench) -> None:
    assert Missed(bench.alerts, classes=CLASSES, auto_keep=False).read(bench.session) == {"auto_keep": 0}


def test_the_heartbeat_tells_rates_with_their_intervals(bench: Bench) -> None:
    settled(bench, 8)
    missed = Missed(bench.alerts, classes=CLASSES, auto_keep=False)
    assert missed.read(bench.session) == {
        "audit_waiting": 8,
        "audit_judged": 0,
        "audit_lost": 0,
        "auto_keep": 0,
    }
    settled(bench, 30, 0.9)
    tell(bench, "x......." + "x" * 30)
    facts = missed.read(bench.session)
    assert 0 <= facts["miss_rate_low"] <= facts["miss_rate"] <= facts["miss_rate_high"] <= 1
    assert {"false_keep", "false_keep_low", "false_keep_high"} <= facts.keys()


def test_a_rise_raises_the_alert_keeps_more_and_is_over_with_it(bench: Bench) -> None:
    settled(bench, 120)
    careless = Missed(bench.alerts, classes=CLASSES, auto_keep=False)
    missed = Missed(bench.alerts, classes=CLASSES, auto_keep=True)
    tell(bench, "." * 80 + "..x." * 10)
    for each in (careless, missed):
        each.read(bench.session)
    assert "miss_rate" in bench.alerts.names()
    assert (careless.keep_more, missed.keep_more) == (False, True)
    assert missed.read(bench.session)["auto_keep"] == 1
    tell(bench, "." * 120)
    assert missed.read(bench.session)["auto_keep"] == 0
    assert "miss_rate" not in bench.alerts.names()


def test_a_file_that_cannot_be_read_costs_the_figures_and_nothing_else(bench: Bench) -> None:
    settled(bench, 1)
    (bench.session.root / JUDGED).mkdir()
    assert Missed(bench.alerts, classes=CLASSES, auto_keep=True).read(bench.session) == {}
