"""`trapd replay --out`: interrupted, killed, and said again."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.backends.pictures_made import scene
from tests.offline.test_replay import make_video
from trapd.cli.offline import replay
from trapd.errors import UsageError

WITHIN_S = 180.0  # only so that nothing hangs

# The command itself, but that it never comes to an end with one photograph; and that it hears Ctrl-C also
# where a shell runs these tests in the background, which makes all that they begin deaf to it.
_WAITS_AT = """
import signal, sys, time
from trapd.cli import main
from trapd.offline import replay

judge = replay.judge_file
def judge_or_wait(classifier, path):
    if path.name == "20.jpg":
        time.sleep(3600)
    return judge(classifier, path)
replay.judge_file = judge_or_wait
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
_OF_THE_CLOCK = re.compile(r'"ms": \d+|"detection_completion_time": "[^"]*"')


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs in one folder, a damaged one in another, and a video."""
    made: Path = tmp_path_factory.mktemp("season")
    for number in range(6):
        scene(seed=number).save(made / f"{number}.jpg")
    (made / "bad").mkdir()
    (made / "bad" / "6.jpg").write_bytes(b"no photograph")
    make_video(made / "clip.mp4")
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments])


def interrupted_after(monkeypatch: pytest.MonkeyPatch, bursts: int, *arguments: object) -> Result:
    def so_many(items: Iterable[Any], *_: object) -> Iterator[Any]:
        yield from itertools.islice(items, bursts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trapd.cli.offline._shown", so_many)
        return run(*arguments)


def without_clock(text: str) -> str:
    return _OF_THE_CLOCK.sub("", text)


def is_as_to_stdout(out: Path, *arguments: object) -> bool:
    """Whether it holds what the same run gives that keeps nothing."""
    return without_clock(out.read_text()) == without_clock(run(*arguments).stdout)


@pytest.mark.parametrize("form", ["jsonl", "megadetector"])
@pytest.mark.parametrize("burst", [[], ["--burst", 3], ["--by-folder"]], ids=["single", "threes", "folder"])
@pytest.mark.parametrize("stops", [[1], [1, 2], [99]], ids=["once", "twice", "at the end"])
def test_interrupted_and_said_again_it_is_the_same_to_the_last_byte(
    season: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    burst: list[Any],
    stops: list[int],
) -> None:
    out, part = tmp_path / "out", tmp_path / ".out.part"
    command = [season, "--format", form, *burst]
    plain = run(*command)
    for stop in stops:
        cut = interrupted_after(monkeypatch, stop, *command, "--out", out)
        assert not out.exists()
        assert f"kept in {part}" in cut.stderr
    again = run(*command, "--out", out)
    assert without_clock(out.read_text()) == without_clock(plain.stdout)
    taken = re.search(r"^(\d+) bursts? taken from an interrupted run; .* remove (.*)$", again.stderr, re.M)
    assert taken is not None
    assert Path(taken[2]) == part
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    of_time = re.compile(r"in [\d.]+ s: ([^>\n]*?)(?: ->|\n)")
    told, told_plain = of_time.search(again.stderr), of_time.search(plain.stderr)
    assert told is not None
    assert told_plain is not None
    assert told[1] == told_plain[1]


def test_another_threshold_takes_nothing_and_says_so(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    interrupted_after(monkeypatch, 3, season, "--threshold", 0.2, "--out", out)
    again = run(season, "--threshold", 0.9, "--out", out)
    assert "is of another model, threshold or trapd: all is judged anew" in again.stderr
    assert is_as_to_stdout(out, season, "--threshold", 0.9)


def test_the_other_format_takes_what_was_judged(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees after an hour that Timelapse wants the other one loses nothing."""
    out = tmp_path / "out"
    interrupted_after(monkeypatch, 3, season, "--out", out)
    again = run(season, "--format", "megadetector", "--out", out)
    assert "3 bursts taken from an interrupted run" in again.stderr
    assert is_as_to_stdout(out, season, "--format", "megadetector")


def test_what_lies_there_that_is_none_is_no_error(season: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.part").write_bytes(b"\0" * 5000)
    result = run(season, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_its_place_is_named(season: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.part").mkdir()
    error = run(season, "--out", tmp_path / "out").exception
    assert isinstance(error, UsageError)
    assert str(tmp_path / ".out.part") in str(error)


def test_an_interrupt_before_the_first_burst_leaves_nothing(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = interrupted_after(monkeypatch, 0, season, "--out", tmp_path / "out")
    assert "out is not written: nothing was judged yet" in result.stderr
    assert not list(tmp_path.iterdir())


def test_standard_output_and_what_is_no_file_keep_nothing(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    for out in ([], ["--out", tmp_path / "null"]):
        result = interrupted_after(monkeypatch, 2, season, *out)
        assert "kept in" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


def test_a_link_goes_on_beside_the_file_that_it_points_to(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "real")
    interrupted_after(monkeypatch, 2, season, "--out", link)
    assert [path.name for path in (tmp_path / "there").iterdir()] == [".real.part"]
    assert "2 bursts taken" in run(season, "--out", link).stderr
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["real"]


def test_where_there_is_no_room_what_was_judged_is_kept(season: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-m", "trapd", "replay", str(season), "--out", str(out)]
    limited = ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *program]  # blocks of 512 bytes: some bursts
    full = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert full.returncode == 2
    assert f"cannot write {out}: " in full.stderr
    assert "the same command goes on from there" in full.stderr
    assert re.match(r"\d bursts? taken", run(season, "--out", out).stderr)
    assert is_as_to_stdout(out, season)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_the_real_process_is_ended_in_the_middle(
    season: Path, tmp_path: Path, number: signal.Signals
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for count in range(40):
        (many / f"{count:02}.jpg").hardlink_to(season / f"{count % 6}.jpg")
    out, part = tmp_path / "out", tmp_path / ".out.part"
    arguments = ["replay", str(many), "--out", str(out)]
    waiting = [sys.executable, "-c", _WAITS_AT, *arguments]
    with subprocess.Popen(waiting, stderr=subprocess.PIPE, text=True) as process:
        try:
            until_s = time.monotonic() + WITHIN_S
            while not (part.exists() and part.read_bytes().count(b"\n") == 21):
                assert process.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.01)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert ("the same command goes on" in stderr) == (number == signal.SIGINT)
    assert not out.exists()
    program = [sys.executable, "-m", "trapd", *arguments]
    again = subprocess.run(program, capture_output=True, text=True, check=True, timeout=WITHIN_S)
    assert again.stderr.startswith("20 bursts taken")
    assert "40 bursts in" in again.stderr
    assert is_as_to_stdout(out, many)
    assert not part.exists()
