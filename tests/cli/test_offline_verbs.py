"""`trapd replay` and `trapd evaluate` as a person runs them, with the default model."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.backends.pictures_made import scene
from tests.fakes.camera import jpeg
from trapd.cli.offline import evaluate, replay
from trapd.demo.photographs import make_bursts
from trapd.errors import Unavailable, UsageError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "images"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the labelled photographs are not beside the checkout"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("photographs")
    make_bursts(made)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments])


def test_a_line_a_burst_and_the_right_verdicts(folder: Path) -> None:
    result = run(folder, "--by-folder")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    verdicts = {Path(line["burst"]).name: line["verdict"] for line in lines}
    assert verdicts["01-cat"] == verdicts["03-astronaut"] == verdicts["05-motorcycle"] == "unclassified"
    assert verdicts["02-grass"] == verdicts["04-gravel"] == verdicts["06-brick"] == "empty"
    assert all(len(line["files"]) == 3 for line in lines)
    assert "6 bursts" in result.stderr


def test_bad_files_are_named_counted_and_the_rest_goes_on(folder: Path, tmp_path: Path) -> None:
    good = (folder / "01-cat" / "0.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 3])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "good.jpg").write_bytes(good)
    (tmp_path / "text.jpg").write_text("no photograph")
    scene().save(tmp_path / "png-inside.jpg", "PNG")
    result = run(tmp_path, tmp_path / "absent")
    assert result.exit_code == 0
    verdicts = {
        Path(json.loads(line)["burst"]).name: json.loads(line)["verdict"]
        for line in result.stdout.splitlines()
    }
    assert verdicts["good"] == "unclassified"
    assert verdicts["cut"] == verdicts["empty"] == verdicts["text"] == "unknown"
    assert verdicts["png-inside"] != "unknown"
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "absent"):
        assert sum(name in line for line in result.stderr.splitlines()) == 1
    assert "3 unknown" in result.stderr


def test_where_nothing_can_be_seen_the_reason_is_a_line(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (20, 20, 20)).save(tmp_path / "covered.jpg")
    result = run(tmp_path)
    assert json.loads(result.stdout)["verdict"] == "unknown"
    assert "covered: nothing can be seen: it is dark, or the lens is covered" in result.stderr


@pytest.mark.slow
def test_a_hundred_megapixels_are_judged(tmp_path: Path) -> None:
    # Not of one colour: that would be a covered lens.
    noise = Image.effect_noise((250, 160), 60).convert("RGB")
    noise.resize((12_500, 8_000), Image.Resampling.BILINEAR).save(tmp_path / "large.jpg", quality=30)
    result = run(tmp_path)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["verdict"] in {"empty", "unclassified"}


def test_nothing_that_can_be_judged_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert run(tmp_path).exit_code == 1


def test_wrong_usage_is_said(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path).exception, UsageError)
    (tmp_path / "a.jpg").write_bytes(jpeg())
    assert isinstance(run(tmp_path, "--burst", 3, "--by-folder").exception, UsageError)


def test_an_interrupt_says_how_far_it_came_and_what_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(items: Iterable[Any], *_: object) -> Iterator[Any]:
        yield from itertools.islice(items, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("trapd.cli.offline._shown", two)
    out = tmp_path / "result.jsonl"
    result = run(folder, "--by-folder", "--out", out)
    assert result.exit_code == 1  # click's own; trapd's main makes it 130
    part = tmp_path / ".result.jsonl.part"
    assert f"kept in {part}: the same command goes on from there" in result.stderr
    assert "2 bursts in" in result.stderr
    assert list(tmp_path.iterdir()) == [part]


def test_the_batch_names_files_below_the_folder_that_was_named(tmp_path: Path) -> None:
    """Timelapse has its template there, whichever of its folders have photographs."""
    (tmp_path / "season" / "ridge" / "day").mkdir(parents=True)
    (tmp_path / "season" / "ridge" / "day" / "1.jpg").write_bytes(jpeg())

    def files(*paths: Path) -> list[str]:
        batch = json.loads(run(*paths, "--format", "megadetector").stdout)
        return [image["file"] for image in batch["images"]]

    assert files(tmp_path / "season") == ["ridge/day/1.jpg"]
    assert files(tmp_path / "season", tmp_path / "absent") == ["ridge/day/1.jpg"]
    assert files(tmp_path / "season" / "ridge" / "day" / "1.jpg") == ["1.jpg"]


def test_where_videos_cannot_be_read_the_photographs_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise Unavailable("videos need PyAV", "install it")

    monkeypatch.setattr("trapd.offline.video.require_video", absent)
    (tmp_path / "2.mp4").write_bytes(b"")
    assert isinstance(run(tmp_path).exception, Unavailable)
    (tmp_path / "1.jpg").write_bytes(jpeg())
    result = run(tmp_path)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert "2.mp4: videos need PyAV (install it)" in result.stderr
    assert "1 could not be read" in result.stderr


def test_out_is_whole_or_not_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "md.json"
    result = run(folder, "--format", "megadetector", "--out", out)
    assert result.exit_code == 0
    assert result.stdout == ""
    document = json.loads(out.read_text())
    assert len(document["images"]) == 18
    assert [path.name for path in tmp_path.iterdir()] == ["md.json"]
    assert isinstance(run(folder, "--out", tmp_path / "absent" / "x").exception, UsageError)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """One, in a folder of its own."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(jpeg())
    return tmp_path / "in" / "1.jpg"


def test_out_to_a_pipe_is_written_to_and_stays_a_pipe(photograph: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert run(photograph, "--out", pipe).exit_code == 0
        assert json.loads(os.read(reader, 65536))["files"] == [str(photograph)]
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_out_to_a_device_does_not_take_its_place(photograph: Path, tmp_path: Path) -> None:
    """By way of a link, so that the machine's own stays whole should this fail."""
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    assert run(photograph, "--out", link).exit_code == 0
    assert link.is_symlink()
    assert link.is_char_device()


def test_out_to_a_link_writes_what_it_points_to(photograph: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "there" / "real.jsonl")
    for _ in range(2):  # not there yet, and there
        assert run(photograph, "--out", link).exit_code == 0
        assert link.is_symlink()
        assert len((tmp_path / "there" / "real.jsonl").read_text().splitlines()) == 1
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["real.jsonl"]


@pytest.mark.parametrize("to", ["file", "pipe"])
def test_out_to_standard_output_by_its_name(photograph: Path, tmp_path: Path, to: str) -> None:
    """What the shell has put behind it is added to, not replaced."""
    program = [sys.executable, "-m", "trapd", "replay", str(photograph), "--out", "/dev/stdout"]
    if to == "pipe":
        done = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=60)
        assert json.loads(done.stdout)["files"] == [str(photograph)]
        return
    out = tmp_path / "out.jsonl"
    out.write_text("first\n")
    with out.open("a") as stdout:
        subprocess.run(program, stdout=stdout, check=True, timeout=60)
    first, second = out.read_text().splitlines()
    assert (first, json.loads(second)["files"]) == ("first", [str(photograph)])


def test_a_path_that_cannot_be_read_is_a_line_and_a_count(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the system's answers are those of an ordinary user."""
    closed = tmp_path / "closed"
    closed.mkdir()
    scandir, access = os.scandir, os.access

    def forbidden(path: Path | str) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    for paths in ([closed, photograph], [tmp_path]):  # named, and met below
        result = run(*paths)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == 1
        assert f"{closed}: Permission denied\n" in result.stderr
        assert "1 burst in" in result.stderr
        assert "; 1 could not be read" in result.stderr
    alone = run(closed)
    assert (alone.exit_code, alone.exception.__class__) == (1, SystemExit)
    assert "0 bursts in" in alone.stderr
    assert "1 could not be read" in alone.stderr


def test_all_that_could_not_be_read_is_counted(photograph: Path, tmp_path: Path) -> None:
    (photograph.parent / "2.jpg").write_bytes(b"")
    os.mkfifo(photograph.parent / "3.jpg")
    result = run(photograph.parent, tmp_path / "absent", "--by-folder")
    assert json.loads(result.stdout)["files"] == [str(photograph), str(photograph.parent / "2.jpg")]
    assert "; 3 could not be read" in result.stderr


def test_the_batch_names_the_model_by_its_own_name(photograph: Path) -> None:
    info = json.loads(run(photograph, "--format", "megadetector").stdout)["info"]
    assert info["detector"] == "trapd-lite1"


def test_evaluate_names_and_counts_what_it_leaves_out(photograph: Path, tmp_path: Path) -> None:
    photograph.parent.rename(tmp_path / "animal")
    (tmp_path / "animals").mkdir()
    (tmp_path / "stray.jpg").write_bytes(jpeg())
    (tmp_path / "notes.txt").write_text("no photograph, and none was expected")
    os.mkfifo(tmp_path / "animal" / "2.jpg")
    result = CliRunner().invoke(evaluate, [str(tmp_path), "--json"])
    report = json.loads(result.stdout)
    assert (report["n_nonempty"], report["failed"]) == (1, 3)
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        str(tmp_path / name) for name in ("animal/2.jpg", "animals", "stray.jpg")
    ]


def test_the_figures_are_there_where_the_curves_cannot_be_drawn(photograph: Path, tmp_path: Path) -> None:
    """They may have taken an hour."""
    photograph.parent.rename(tmp_path / "animal")
    (tmp_path / "file").write_text("no folder")
    for form in ([], ["--json"]):
        result = CliRunner().invoke(evaluate, [str(tmp_path), "--curves", str(tmp_path / "file"), *form])
        assert isinstance(result.exception, UsageError)
        assert "recall" in result.stdout


def test_evaluate_with_nothing_to_judge_says_why(tmp_path: Path) -> None:
    (tmp_path / "animal").mkdir()
    os.mkfifo(tmp_path / "animal" / "2.jpg")
    result = CliRunner().invoke(evaluate, [str(tmp_path)])
    assert result.exit_code == 1
    assert "2.jpg: neither a file nor a folder" in result.stderr
    assert "1 could not be read or judged" in " ".join(result.stdout.split())
    assert isinstance(CliRunner().invoke(evaluate, [str(tmp_path / "absent")]).exception, UsageError)


def test_evaluate_prints_the_contracts_shape(folder: Path, tmp_path: Path) -> None:
    for label, burst in (("animal", "01-cat"), ("vehicle", "05-motorcycle"), ("empty", "02-grass")):
        (tmp_path / label).mkdir()
        for photograph in (folder / burst).iterdir():
            (tmp_path / label / photograph.name).write_bytes(photograph.read_bytes())
    result = CliRunner().invoke(evaluate, [str(tmp_path), "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert {"auc", "auc_ci", "n_nonempty", "n_empty", "by", "thresholds", "recommended"} <= report.keys()
    assert (report["auc"], report["n_nonempty"], report["n_empty"]) == (1.0, 6, 3)
    assert {"day", "night"} <= report["by"].keys()
    human = CliRunner().invoke(evaluate, [str(tmp_path)])
    assert "reaches recall 0.95" in human.stdout


@needs_shared
@pytest.mark.slow
def test_the_labelled_photographs_are_evaluated_in_well_under_a_minute() -> None:
    """The default model was trained on these: the figures show that the whole path is sound, no more."""
    began_s = time.monotonic()
    result = CliRunner().invoke(evaluate, [str(SHARED), "--json"])
    report = json.loads(result.stdout)
    assert time.monotonic() - began_s < 60
    assert (report["n_nonempty"], report["n_empty"], report["failed"]) == (101, 82, 0)
    assert report["auc"] > 0.97
    own = next(row for row in report["thresholds"] if row["threshold"] == report["threshold"])
    assert own["recall"] > 0.95
    assert own["false_keep"] < 0.1


@needs_shared
@pytest.mark.slow
def test_day_and_night_are_told_as_the_manifest_has_them() -> None:
    from trapd.backends.light import is_night

    rows = list(csv.DictReader((SHARED / "manifest.csv").read_text().splitlines()))
    agreed = sum(is_night((SHARED / row["file"]).read_bytes()) == (row["day_night"] != "day") for row in rows)
    assert agreed / len(rows) > 0.95
