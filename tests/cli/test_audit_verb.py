"""`trapd audit` beside a running daemon: by keys, by folders, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.stages.driver import UNIT, Bench, bench
from trapd.cli.verbs import cli
from trapd.errors import Unavailable, UsageError
from trapd.records import Verdict
from trapd.sampling import heap_of

EMPTY = Verdict("empty", keep=False, score=0.02, model="default", sha256="cd" * 32, threshold=0.35)
FULL = Verdict("unclassified", keep=True, score=0.9, model="default", sha256="cd" * 32, threshold=0.35)


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Bench]:
    """A store with four discarded bursts and four kept ones, all drawn."""
    config = {"unit": {"id": UNIT}, "mqtt": {"host": "b"}, "storage": {"path": str(tmp_path / "store")}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with bench(tmp_path / "store") as made:
        made.session.audits.seed()
        for verdict in (EMPTY, FULL) * 4:
            heap = heap_of(verdict, configured=None, fraction=1.0).name
            made.session.events.settle(made.burst().id, verdict, heap=heap, is_drawn=True)
        yield made


def run(unit: Bench, *arguments: str) -> Result:
    config = unit.store.root.parent / "config.yaml"
    result = CliRunner().invoke(cli, ["audit", *arguments, "--config", str(config)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def facts(unit: Bench) -> dict[str, object]:
    found = json.loads(run(unit, "--json").stdout)
    assert isinstance(found, dict)
    return found


def keys(monkeypatch: pytest.MonkeyPatch, pressed: str) -> None:
    waiting = iter(pressed)
    monkeypatch.setattr(click, "getchar", lambda: next(waiting))


def test_before_anybody_judged_nothing_is_known(unit: Bench) -> None:
    found = facts(unit)
    assert (found["miss_rate"], found["miss_rate_ci"]) == (None, [0.0, 1.0])
    assert (found["drawn"], found["waiting"], found["judged"]) == (8, 8, 0)
    assert "not known yet" in run(unit).stdout


def test_one_key_judges_a_burst_and_back_judges_it_again(
    unit: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(monkeypatch, "ezbapq")
    result = run(unit, "--judge")
    assert result.exit_code == 0
    assert sorted(unit.session.audits.truths().values()) == ["animal", "person"]
    assert facts(unit)["judged"] == 2


def test_a_program_that_is_not_there_is_said(unit: Bench) -> None:
    with pytest.raises(UsageError, match="cannot start no-such-viewer: No such file or directory"):
        run(unit, "--judge", "--show", "no-such-viewer")


def test_a_folder_is_exported_sorted_and_read_back(unit: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "sort"
    run(unit, "--export", str(folder))
    sheets = sorted((folder / "unsorted").iterdir())
    assert len(sheets) == 8
    assert all(sheet.read_bytes().startswith(b"\xff\xd8") for sheet in sheets)
    discarded = {event.id for event in unit.events() if event.verdict and event.verdict.verdict == "empty"}
    for at, sheet in enumerate(sheets):
        truth = "empty" if sheet.stem in discarded and at != 0 else "animal"
        sheet.rename(folder / truth / sheet.name)
    run(unit, "--read", str(folder))
    found = facts(unit)
    assert (found["judged"], found["waiting"], found["missed"]) == (8, 0, 1)
    assert found["miss_rate"] == pytest.approx(0.2)
    assert "of the bursts worth keeping were discarded" in run(unit).stdout


def test_a_burst_in_two_folders_is_refused_and_a_strange_file_named(unit: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "sort"
    run(unit, "--export", str(folder), "--limit", "1")
    (sheet,) = (folder / "unsorted").iterdir()
    (folder / "empty" / "holiday.jpg").write_bytes(b"x")
    assert "no burst of this unit's sample" in run(unit, "--read", str(folder)).stderr
    for truth in ("empty", "animal"):
        (folder / truth / sheet.name).write_bytes(sheet.read_bytes())
    with pytest.raises(UsageError, match="lies in animal and in empty"):
        run(unit, "--read", str(folder))
    assert unit.session.audits.truths() == {}


def test_a_folder_that_was_never_exported_is_not_read_as_one_without_judgements(
    unit: Bench, tmp_path: Path
) -> None:
    (tmp_path / "another").mkdir()
    for folder in (tmp_path / "misspelt", tmp_path / "another"):
        with pytest.raises(UsageError, match="none of the folders animal"):
            run(unit, "--read", str(folder))


def test_what_has_no_picture_left_is_not_asked_for(unit: Bench, tmp_path: Path) -> None:
    for file in (unit.store.root / "media").rglob("*.jpg"):
        file.unlink()
    run(unit, "--export", str(tmp_path / "sort"))
    assert list((tmp_path / "sort" / "unsorted").iterdir()) == []


def test_a_unit_that_never_ran_and_two_wishes_at_once_are_refused(unit: Bench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        run(unit, "--export", "a", "--read", "b")
    config = {"unit": {"id": UNIT}, "mqtt": {"host": "b"}, "storage": {"path": str(tmp_path / "none")}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(Unavailable, match="has not run yet"):
        run(unit)
