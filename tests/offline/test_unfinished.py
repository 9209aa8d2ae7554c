"""What an interrupted replay has judged: taken again where it holds, judged again where it does not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.camera import jpeg
from tests.fakes.classifier import INFO
from trapd.errors import BadPicture, Unavailable, UsageError
from trapd.offline import megadetector
from trapd.offline.gather import Burst
from trapd.offline.replay import Result, judge
from trapd.offline.unfinished import Unfinished, depends_on
from trapd.records import Detection, FrameScore, Small

ABOUT: dict[str, Any] = {"model": "of these tests"}


class Scores:
    """A classifier whose scores, classes and boxes follow from the bytes of the photograph; counts them."""

    def __init__(self) -> None:
        self.judged = 0

    def open(self) -> Any:
        return INFO

    def prepare(self, pictures: Any) -> None:
        """Nothing is gained by it here."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        self.judged += 1
        data = picture if isinstance(picture, bytes) else picture.data
        if data == b"damaged":
            raise BadPicture("not a JPEG")
        score = (sum(data) % 997) / 1009
        box = Detection(0, "animal", score, (score / 3, -0.001, 1 / 3, 0.1))
        return FrameScore(score, {"animal": score, "person": score / 7}, (box, box), b"\0" * 64)

    def close(self) -> None:
        """Nothing to free."""


def season(folder: Path, photographs: int, burst: int = 1) -> list[Burst]:
    paths = []
    for number in range(photographs):
        path = folder / f"{number:04}.jpg"
        path.write_bytes(b"photograph %d" % number)
        paths.append(path)
    return [
        Burst(str(paths[begin].with_suffix("")), tuple(paths[begin : begin + burst]))
        for begin in range(0, photographs, burst)
    ]


class Stop(Exception):
    """The run is interrupted."""


def go(part: Path, bursts: list[Burst], *, stop_after: int | None = None) -> tuple[list[Result], int, int]:
    """A run, interrupted after so many judgements; its results, bursts taken, and photographs judged."""
    scores, done = Scores(), 0

    def one(burst: Burst) -> Result:
        nonlocal done
        if done == stop_after:
            raise Stop
        done += 1
        return judge(burst, scores, INFO, threshold=None)

    kept = Unfinished(part, ABOUT, bursts)
    try:
        seen = list(kept.finish(one))
        again = list(kept.results())
        assert again == [replace(one, verdict=without_model(one)) for one in seen]
        kept.remove()
    except Stop:
        again = []
    finally:
        kept.close()
    return again, kept.taken, scores.judged


def without_model(result: Result) -> Any:
    """What a line holds of the verdict: who gave it, the first line says."""
    return replace(result.verdict, model=None, sha256=None, threshold=None, night=None)


def both(results: list[Result]) -> str:
    """What either format makes of them, but for the time that it took."""
    finished = datetime(2026, 11, 22, tzinfo=UTC)
    lines = [{**result.line(), "ms": 0} for result in results]
    return json.dumps([lines, megadetector.document(results, INFO, threshold=0.3, finished=finished)])


@given(stops=st.lists(st.integers(0, 4), max_size=4), burst=st.sampled_from([1, 3]))
def test_interrupted_wherever_and_how_often_the_result_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int], burst: int
) -> None:
    folder = tmp_path_factory.mktemp("season")
    bursts = season(folder, 12, burst)
    part = folder / ".out.part"
    before = 0
    for stop in stops:
        _, taken, _ = go(part, bursts, stop_after=min(stop, len(bursts) - before))
        assert taken == before
        if not part.exists():  # all was judged: that run was whole, or nothing was
            assert stop == 0 or before + stop >= len(bursts)
            before = 0
        else:
            before += stop
    results, taken, judged = go(part, bursts)
    assert (taken, judged) == (before, 12 - before * burst)
    assert both(results) == both(go(folder / ".other.part", bursts)[0])
    assert not part.exists()


@given(
    cut=st.floats(0, 1),
    other_cut=st.floats(0, 1),
    put=st.one_of(st.none(), st.binary(max_size=40), st.just(b"[" * 100_000)),
)
def test_whatever_lies_in_the_file_the_result_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, cut: float, other_cut: float, put: bytes | None
) -> None:
    folder = tmp_path_factory.mktemp("season")
    bursts = season(folder, 6)
    part = folder / ".out.part"
    go(part, bursts, stop_after=5)
    sound = part.read_bytes()
    begin, end = (round(one * len(sound)) for one in sorted((cut, other_cut)))
    if put is None:
        put = sound
    # A digit that became another is no damage that anybody could see.
    part.write_bytes(sound[:begin] + b"\n" + put + b"\n" + sound[end:])
    assert both(go(part, bursts)[0]) == both(go(folder / ".other.part", bursts)[0])


HOSTILE = [
    {"verdict": ["dog", True, 0.5, 1, ""]},
    {"verdict": [[], True, 0.5, 1, ""]},
    {"verdict": ["empty", 1, 0.5, 1, ""]},
    {"verdict": ["empty", True, 1e999, 1, ""]},
    {"verdict": ["empty", True, "0.5", 1, ""]},
    {"verdict": ["empty", True, 0.5, None, ""]},
    {"verdict": []},
    {"frames": []},
    {"frames": [[None, "gone", None, None]]},
    {"frames": [[[0.5, {}, []], "", None, None]] * 2},
    {"frames": [[[float("nan"), {}, []], "", None, None]]},
    {"frames": [[[10**400, {}, []], "", None, None]]},
    {"frames": [[[2.5, {}, []], "", None, None]]},
    {"frames": [[[0.5, {"animal": "much"}, []], "", None, None]]},
    {"frames": [[[0.5, {"animal": float("nan")}, []], "", None, None]]},
    {"frames": [[[0.5, [], []], "", None, None]]},
    {"frames": [[[0.5, {}, [[0, 7, 0.5, [0, 0, 1, 1]]]], "", None, None]]},
    {"frames": [[[0.5, {}, [[0, "animal", 0.5, [0, 0, 1]]]], "", None, None]]},
    {"frames": [[[0.5, {}, [[0, "animal", 0.5, [0, 0, 1, float("inf")]]]], "", None, None]]},
    {"boxes": 7},
    {"files": None},
    {"files": []},
    {"files": [[[]]]},
    {"files": [["elsewhere.jpg", 1, 1]]},
]


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: json.dumps(change)[:50])
def test_a_line_that_is_not_ours_is_judged_again(tmp_path: Path, change: dict[str, Any]) -> None:
    bursts = season(tmp_path, 3)
    part = tmp_path / ".out.part"
    go(part, bursts, stop_after=2)
    first, second, third = part.read_text().splitlines()
    part.write_text("\n".join([first, second, json.dumps(json.loads(third) | change), ""]))
    results, taken, judged = go(part, bursts)
    assert (taken, judged) == (1, 2)
    assert both(results) == both(go(tmp_path / ".other.part", bursts)[0])


@pytest.mark.parametrize("tear", [1, 5, 40])
def test_a_torn_last_line_costs_that_burst_alone(tmp_path: Path, tear: int) -> None:
    bursts = season(tmp_path, 6)
    part = tmp_path / ".out.part"
    go(part, bursts, stop_after=4)
    part.write_bytes(part.read_bytes()[:-tear])
    assert go(part, bursts, stop_after=1)[1:] == (3, 1)
    assert go(part, bursts)[1:] == (4, 2)  # what was torn does not spoil what came after it


def test_a_file_that_changed_is_judged_again(tmp_path: Path) -> None:
    bursts = season(tmp_path, 5)
    part = tmp_path / ".out.part"
    go(part, bursts, stop_after=4)
    bursts[0].files[0].write_bytes(b"longer than it was before")
    os.utime(bursts[1].files[0], ns=(1, 1))
    bursts[2].files[0].unlink()
    assert go(part, bursts)[1:] == (1, 3)


def test_another_grouping_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    part = tmp_path / ".out.part"
    single, threes = season(tmp_path, 6), season(tmp_path, 6, 3)
    for path in tmp_path.glob("*.jpg"):
        os.utime(path, ns=(7, 7))
    go(part, single, stop_after=4)
    assert go(part, threes, stop_after=1)[1] == 0
    assert go(part, single)[1:] == (4, 2)


def test_photographs_that_came_went_or_are_named_in_another_order_cost_nothing(tmp_path: Path) -> None:
    bursts, part = season(tmp_path, 8), tmp_path / ".out.part"
    go(part, bursts[1:], stop_after=5)
    results, taken, judged = go(part, [*bursts[4:], *bursts[:3]])
    assert (taken, judged) == (4, 3)
    assert [result.burst for result in results] == [*bursts[4:], *bursts[:3]]


def test_what_had_no_score_is_judged_again(tmp_path: Path) -> None:
    bursts = season(tmp_path, 4)
    bursts[0].files[0].write_bytes(b"damaged")
    part = tmp_path / ".out.part"
    go(part, bursts, stop_after=3)
    results, taken, judged = go(part, bursts)
    assert (taken, judged) == (2, 2)
    assert results[0].frames[0].failure == "not a JPEG"


@pytest.mark.parametrize("lies", ["link", "pipe", "closed"])
def test_what_is_no_file_of_ours_gives_way(tmp_path: Path, lies: str) -> None:
    bursts = season(tmp_path, 2)
    part, other = tmp_path / ".out.part", tmp_path / "other"
    other.write_text("somebody's")
    if lies == "link":
        part.symlink_to(other)
    elif lies == "pipe":
        os.mkfifo(part)
    else:
        part.write_text("unreadable, but for root")
        part.chmod(0)
    assert go(part, bursts, stop_after=1)[1] == 0
    assert other.read_text() == "somebody's"
    assert go(part, bursts)[1] == 1


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    bursts = season(tmp_path, 2)
    first = Unfinished(tmp_path / ".out.part", ABOUT, bursts)
    with pytest.raises(UsageError, match="another trapd is writing"):
        Unfinished(tmp_path / ".out.part", ABOUT, bursts)
    first.close()
    assert not list(tmp_path.glob(".out.part"))  # no burst was judged


def test_what_another_model_or_threshold_has_judged_is_not_taken(tmp_path: Path) -> None:
    bursts, part = season(tmp_path, 2), tmp_path / ".out.part"
    go(part, bursts, stop_after=1)
    abouts = [
        depends_on(INFO, None, [tmp_path]),
        depends_on(INFO, 0.3, [tmp_path]),
        depends_on(INFO, 0.3, [Path("here")]),
        depends_on(replace(INFO, sha256="0" * 64), 0.3, [tmp_path]),
        depends_on(replace(INFO, labels=("animal",)), 0.3, [tmp_path]),
    ]
    for about in abouts:
        kept = Unfinished(part, about, bursts)
        assert (kept.taken, kept.other) == (0, True)
        list(kept.finish(lambda burst: judge(burst, Scores(), INFO, threshold=None)))
        kept.close()
    kept = Unfinished(part, abouts[-1], bursts)
    kept.close()
    assert kept.taken == 2


def test_a_kill_takes_nothing_that_was_judged(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path / ".out.part", ABOUT, season(tmp_path, 4))
    results = kept.finish(lambda burst: judge(burst, Scores(), INFO, threshold=None))
    for number, _ in enumerate(results, start=1):
        assert kept.path.read_bytes().count(b"\n") == 1 + number
    kept.close()


def test_a_power_cut_takes_ten_seconds_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    now_s = 0.0
    kept = Unfinished(tmp_path / ".out.part", ABOUT, season(tmp_path, 9), lambda: now_s)

    def one(burst: Burst) -> Result:
        nonlocal now_s
        now_s += 4.0
        return judge(burst, Scores(), INFO, threshold=None)

    list(kept.finish(one))
    assert len(synced) == 3
    kept.close()


def test_a_file_that_somebody_changes_meanwhile_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path / ".out.part", ABOUT, season(tmp_path, 2))
    list(kept.finish(lambda burst: judge(burst, Scores(), INFO, threshold=None)))
    kept.path.write_bytes(b"")
    with pytest.raises(Unavailable, match="changed by somebody else"):
        list(kept.results())
    kept.close()


def test_a_name_that_no_encoding_has_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.jpg")
    path.write_bytes(jpeg())
    bursts = [Burst("odd", (path,)), *season(tmp_path, 1)]
    go(tmp_path / ".out.part", bursts, stop_after=1)
    assert go(tmp_path / ".out.part", bursts)[1] == 1
