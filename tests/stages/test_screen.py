"""Verdicts, where the frames come from, and damaged photographs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.camera import small
from tests.fakes.classifier import INFO, FakeClassifier
from tests.fakes.store import FULL
from tests.stages.driver import Bench
from tests.stages.screen_driver import EMPTY, rows, screening
from trapd.records import Event, State
from trapd.rules import NS_PER_S

# --- verdicts ----------------------------------------------------------------------------------------------


def test_something_is_kept_and_due_with_its_thumbnail(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(0.9)) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.n, judged.verdict.verdict, judged.verdict.score) == (
        State.KEPT,
        1,
        "unclassified",
        0.9,
    )
    assert (judged.verdict.model, judged.verdict.sha256, judged.verdict.threshold) == (
        INFO.name,
        INFO.sha256,
        0.35,
    )
    assert judged.verdict.ms is not None
    assert rows(bench) == ["event", f"thumb/{event.id}"]


def test_nothing_is_discarded_and_its_files_stay(bench: Bench) -> None:
    event = bench.burst()
    files = bench.files()
    with screening(bench, FakeClassifier(EMPTY)) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.n, judged.verdict.verdict) == (State.DISCARDED, None, "empty")
    assert rows(bench) == []
    assert bench.files() == files


def test_at_once_removes_the_files_of_what_is_discarded(bench: Bench) -> None:
    empty, full = bench.burst(), bench.burst()
    classifier = FakeClassifier(EMPTY)
    with screening(bench, classifier, discard_at_once=True) as screen:
        judged = screen.judge(empty)
        assert judged.state is State.DISCARDED
        assert all(medium.path is None for medium in judged.media)
        classifier.score = 0.9
        assert screen.judge(full).state is State.KEPT
    assert [file for file in bench.files() if file.startswith("media/")] == sorted(
        str(medium.path) for medium in full.media
    )


def test_a_share_of_what_is_discarded_is_delivered_as_a_sample(bench: Bench) -> None:
    for _ in range(30):
        bench.burst(frames=1)
    with screening(bench, FakeClassifier(EMPTY), audit_fraction=0.3, discard_at_once=True) as screen:
        screen.turn(30)
        drawn = {sample.id for sample in screen.session.audits.samples()}
        assert list(screen.session.audits.totals().values()) == [30]
    assert len(drawn) == 9
    for event in bench.events():
        assert event.verdict is not None
        assert event.verdict.verdict == "empty"
        assert event.verdict.audit is (event.id in drawn)
        assert event.state is (State.KEPT if event.id in drawn else State.DISCARDED)
        assert (event.media[0].path is not None) is (event.id in drawn)


def test_one_kept_burst_in_ten_is_a_sample_too(bench: Bench) -> None:
    for _ in range(40):
        bench.burst(frames=1)
    with screening(bench, FakeClassifier(0.9), audit_fraction=0.02) as screen:
        screen.turn(40)
        assert len(screen.session.audits.samples()) == 4


def test_keeping_more_lowers_the_threshold_and_says_so(bench: Bench) -> None:
    with screening(bench, FakeClassifier(0.2)) as screen:
        assert screen.judge(bench.burst()).state is State.DISCARDED
        screen.stage._keep_more = lambda: True
        judged = screen.judge(bench.burst())
    assert judged.verdict is not None
    assert (judged.state, judged.verdict.threshold) == (State.KEPT, 0.175)


def test_what_is_kept_is_no_sample(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(0.9), audit_fraction=1.0) as screen:
        verdict = screen.judge(event).verdict
    assert verdict is not None
    assert verdict.audit is False


def test_the_configured_threshold_goes_before_the_models(bench: Bench) -> None:
    event = bench.burst()
    with screening(bench, FakeClassifier(0.5), threshold=0.6) as screen:
        judged = screen.judge(event)
    assert judged.state is State.DISCARDED
    assert judged.verdict is not None
    assert judged.verdict.threshold == 0.6


def test_the_oldest_is_judged_first(bench: Bench) -> None:
    events = [bench.burst(frames=1) for _ in range(3)]
    with screening(bench, FakeClassifier()) as screen:
        for number, event in enumerate(events, 1):
            assert screen.judge(event).n == number


# --- where the frames come from ----------------------------------------------------------------------------


def test_small_frames_are_used_where_there_are_any_and_the_disk_where_not(bench: Bench) -> None:
    first, second = bench.burst(), bench.burst()
    bench.waiting.put(first.id, [small()] * 3)
    classifier = FakeClassifier()
    with screening(bench, classifier) as screen:
        screen.judge(first)
        assert classifier.judged == ["small"] * 3
        screen.judge(second)
    assert classifier.judged == ["small"] * 3 + ["disk"] * 3


def test_frames_that_came_too_late_do_not_stay_in_memory(bench: Bench) -> None:
    """Screen may find a burst on disk before Capture has put its small frames."""
    late, event = bench.burst(), bench.burst()
    with screening(bench, FakeClassifier()) as screen:
        screen.judge(late)
        bench.waiting.put(late.id, [small()] * 3)
        bench.waiting.put(event.id, [small()] * 3)
        screen.judge(event)
    assert bench.waiting.take(late.id) is None


def test_no_news_is_missed_between_the_look_and_the_wait(bench: Bench) -> None:
    """A burst recorded just then ends the wait at once; old news does not."""

    def burst() -> None:
        bench.waiting.put(bench.burst().id, [small()] * 3)

    with screening(bench, FakeClassifier()) as screen:
        screen.announcing = burst
        before_ns = bench.clock.boot_ns()
        screen.turn(2)
        assert bench.clock.boot_ns() - before_ns < NS_PER_S // 10  # there was no wait
        assert [event.state for event in bench.events()] == [State.KEPT]
        before_ns = bench.clock.boot_ns()
        screen.turn()
        assert bench.clock.boot_ns() - before_ns == NS_PER_S  # nothing to do: the wait


# --- damage ------------------------------------------------------------------------------------------------


def damage(bench: Bench, event: Event, frame: int) -> None:
    path = bench.store.root / str(event.media[frame].path)
    path.write_bytes(b"no photograph any more")


def test_a_photograph_that_cannot_be_decoded_keeps_an_empty_burst(bench: Bench) -> None:
    """It may be the one with the animal."""
    event = bench.burst()
    damage(bench, event, 1)
    with screening(bench, FakeClassifier(EMPTY)) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.verdict.verdict, judged.verdict.score) == (State.KEPT, "unknown", None)
    assert judged.verdict.reason == "1 of 3 photographs cannot be decoded"
    assert bench.session.counters.all() == {"photographs_bad": 1, "unjudged": 1}


def test_it_does_not_change_what_the_others_show(bench: Bench) -> None:
    event = bench.burst()
    damage(bench, event, 1)
    with screening(bench, FakeClassifier(0.9)) as screen:
        verdict = screen.judge(event).verdict
    assert verdict is not None
    assert verdict.verdict == "unclassified"
    assert bench.session.counters.all() == {"photographs_bad": 1}  # though another carries the burst


def test_missing_and_empty_ones_count_once_however_often_they_are_judged(bench: Bench) -> None:
    """A burst that finds no room is judged again."""
    event = bench.burst()
    (bench.store.root / str(event.media[0].path)).unlink()
    (bench.store.root / str(event.media[1].path)).write_bytes(b"")
    with screening(bench, FakeClassifier(0.9)) as screen:
        bench.store.faults.make("settle", FULL)
        screen.turn()
        assert bench.session.counters.all() == {}
        bench.store.faults.end()
        screen.turn()
    assert bench.session.counters.all() == {"photographs_bad": 2}


def test_without_a_filter_they_are_counted_all_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody decodes them then, but whether they are there is seen."""
    event = bench.burst()
    (bench.store.root / str(event.media[1].path)).unlink()
    (bench.store.root / str(event.media[2].path)).write_bytes(b"")
    with screening(bench, None) as screen:
        screen.judge(event)
    assert bench.session.counters.all() == {"photographs_bad": 2}
    assert event.media[1].id in caplog.text
    assert event.media[2].id in caplog.text


@pytest.mark.parametrize("thumbnail_bytes", [0, 12_000])
def test_without_a_filter_what_is_no_photograph_is_counted_too(bench: Bench, thumbnail_bytes: int) -> None:
    """By its begin and its end, and by the thumbnail that cannot be made of it."""
    event = bench.burst()
    photograph = bench.store.root / str(event.media[0].path)
    whole = photograph.read_bytes()
    photograph.write_bytes(bytes(len(whole)))
    cut = bench.store.root / str(event.media[1].path)
    cut.write_bytes(cut.read_bytes()[:-2] + b"\0\0")
    with screening(bench, None, thumbnail_bytes=thumbnail_bytes) as screen:
        judged = screen.judge(event)
    assert bench.session.counters.all() == {"photographs_bad": 2}
    assert (judged.thumb is not None) is (thumbnail_bytes > 0)  # of one that can be decoded


@pytest.mark.parametrize("thumbnail_bytes", [0, 12_000])
def test_without_a_filter_one_that_only_looks_whole_is_counted_too(
    bench: Bench, thumbnail_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It begins and ends like any other, and its tables are nonsense."""
    event = bench.burst()
    photograph = bench.store.root / str(event.media[1].path)
    whole = bytearray(photograph.read_bytes())
    tables = whole.index(b"\xff\xc4") + 5
    whole[tables : tables + 16] = bytes([0xFF] * 16)
    photograph.write_bytes(whole)
    with screening(bench, None, thumbnail_bytes=thumbnail_bytes) as screen:
        judged = screen.judge(event)
    assert judged.state is State.KEPT
    assert bench.session.counters.all() == {"photographs_bad": 1}
    assert event.media[1].id in caplog.text


def test_a_thumbnail_that_cannot_be_made_counts_its_photograph(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It has a begin and an end, and nothing between that could be shown."""
    event = bench.burst()
    for medium in event.media:
        photograph = bench.store.root / str(medium.path)
        whole = photograph.read_bytes()
        begin = whole.index(b"\xff\xda") + 2  # the scan's own header is broken too
        photograph.write_bytes(whole[:begin] + bytes(len(whole) - begin - 2) + whole[-2:])
    with screening(bench, None) as screen:
        judged = screen.judge(event)
    assert judged.thumb is None
    assert bench.session.counters.all() == {"photographs_bad": 3}
    assert event.media[2].id in caplog.text


def test_it_keeps_a_burst_of_a_class_that_nobody_wants(bench: Bench) -> None:
    event = bench.burst()
    damage(bench, event, 0)
    classifier = FakeClassifier(0.9)
    classifier.info = replace(INFO, tells=frozenset({"animal", "person"}))
    classifier.by_class = {"person": 0.9}
    with screening(bench, classifier, classes=("animal",)) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.verdict.verdict) == (State.KEPT, "unknown")


@pytest.mark.parametrize("audit_fraction", [0.0, 1.0])
def test_a_burst_of_which_nothing_is_left_is_kept_unknown(bench: Bench, audit_fraction: float) -> None:
    event = bench.burst()
    for medium in event.media:
        (bench.store.root / str(medium.path)).unlink()
    with screening(bench, FakeClassifier(), audit_fraction=audit_fraction) as screen:
        judged = screen.judge(event)
    assert judged.verdict is not None
    assert (judged.state, judged.verdict.verdict, judged.verdict.audit) == (State.KEPT, "unknown", False)
    assert rows(bench) == ["event"]  # without a photograph there is no thumbnail
