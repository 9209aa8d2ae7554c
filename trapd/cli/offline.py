"""`trapd replay` and `trapd evaluate`: the filter over photographs in folders."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trapd.cli.options import ANY_PATH, FiniteRange, always_json_option, json_option
from trapd.cli.words import counted
from trapd.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from trapd.cli.output import Write
    from trapd.offline.gather import Trouble
    from trapd.offline.replay import Result
    from trapd.ports import Classifier
    from trapd.records import ModelInfo

Item = TypeVar("Item")

_model_option = click.option("--model", metavar="M", default="default", help="A model's name or file.")
_models_option = click.option("--models", metavar="DIR", type=ANY_PATH, help="Where installed models lie.")
_labels_option = click.option(
    "--labels", metavar="FILE", type=ANY_PATH, help="Labels for a model that carries none."
)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=ANY_PATH)
@_model_option
@_models_option
@_labels_option
@click.option(
    "--burst", metavar="N", type=click.IntRange(min=1), help="So many photographs in a row make a burst."
)
@click.option("--by-folder", is_flag=True, help="Each folder is one burst.")
@click.option(
    "--threshold",
    metavar="T",
    type=FiniteRange(0, 1),
    help="Keep from this score on. Default: the model's.",
)
@click.option("--out", metavar="FILE", type=ANY_PATH, help="Write there, when all is judged; not to stdout.")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "megadetector"]), default="jsonl", show_default=True
)
@always_json_option
@click.pass_context
def replay(
    ctx: click.Context,
    paths: tuple[Path, ...],
    model: str,
    models: Path | None,
    labels: Path | None,
    burst: int | None,
    by_folder: bool,
    threshold: float | None,
    out: Path | None,
    form: str,
) -> None:
    """Filter photographs, folders of them, or videos, offline; no store, no broker.

    One JSON line a burst, or MegaDetector's batch format. What cannot be read is named on stderr and counted,
    and the rest goes on; a photograph that cannot be judged keeps its burst as `unknown`. Exits with 1 if
    nothing could be judged.

    With --out FILE what was judged before an interrupt or a power cut is kept beside it, as .FILE.part: the
    same command goes on from there. FILE appears when it is whole.
    """
    from trapd.cli.output import write_results
    from trapd.frozen import replace
    from trapd.offline.gather import Trouble, bursts, folders_named, gather
    from trapd.offline.megadetector import document, shared_folder
    from trapd.offline.replay import judge
    from trapd.offline.unfinished import depends_on
    from trapd.offline.video import require_video
    from trapd.parts import build_scene

    if burst is not None and by_folder:
        raise UsageError("--burst and --by-folder exclude each other")
    found = gather(paths)
    if found.videos:
        try:
            require_video()
        except Unavailable as error:
            if not found.photographs:
                raise
            # One video among a season's photographs is no reason to judge none of them.
            troubles = tuple(Trouble(path, str(error)) for path in found.videos)
            found = replace(found, videos=(), troubles=(*found.troubles, *troubles))
    _name_troubles(found.troubles)
    groups = bursts(found, size=burst or 1, by_folder=by_folder)
    tally = _Tally(unread=len(found.troubles))
    if not groups:
        if any(os.path.lexists(trouble.path) for trouble in found.troubles):
            tally.tell(0.0, None)
            ctx.exit(1)
        raise UsageError("no photograph (.jpg, .jpeg, .png) below what was given")
    # Timelapse looks below the folder that the person named, whatever lies in it.
    root = shared_folder(folders_named(paths))
    begin_s = time.monotonic()
    with _opened(model, models, labels) as (classifier, info):
        scene = build_scene()

        def render(results: Iterable[Result], write: Write) -> None:
            if form == "jsonl":
                for result in results:
                    write(json.dumps(result.line()) + "\n")
                return
            every = list(results)
            limit = info.threshold if threshold is None else threshold
            batch = document(every, info, threshold=limit, finished=datetime.now(UTC), root=root)
            write(json.dumps(batch, indent=1) + "\n")

        try:
            write_results(
                out,
                groups,
                lambda burst: judge(burst, classifier, info, threshold=threshold, scene=scene),
                about=depends_on(info, threshold, paths),
                watched=lambda results: tally.counted(_shown(results, len(groups), "bursts")),
                render=render,
            )
        except KeyboardInterrupt:
            tally.tell(time.monotonic() - begin_s, None)
            raise
    tally.tell(time.monotonic() - begin_s, out)
    ctx.exit(0 if tally.scored else 1)


@click.command()
@click.argument("folder", metavar="DIR", type=ANY_PATH)
@_model_option
@_models_option
@_labels_option
@click.option(
    "--recall",
    metavar="R",
    type=FiniteRange(0, 1),
    default=0.95,
    show_default=True,
    help="Recommend the highest threshold that reaches it.",
)
@click.option("--by-folder", is_flag=True, help="Each folder is one burst. Default: by name, or time taken.")
@click.option("--curves", metavar="FOLDER", type=ANY_PATH, help="Draw the curves into it, as PNG.")
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    folder: Path,
    model: str,
    models: Path | None,
    labels: Path | None,
    recall: float,
    by_folder: bool,
    curves: Path | None,
    as_json: bool,
) -> None:
    """Measure a model on photographs sorted into animal/, person/, vehicle/ and empty/.

    Recall, false-keep rate and AUC with 95 % intervals, by class, day and night, at a range of thresholds;
    by photograph, and by burst as on the unit. Photographs of one burst count for less than as many bursts.
    Exits with 1 if nothing could be judged.
    """
    from trapd.backends.light import is_night
    from trapd.offline import evaluate as evaluation
    from trapd.offline.curves import write_curves
    from trapd.offline.grouping import bursts
    from trapd.parts import build_scene

    found, troubles = evaluation.photographs(folder)
    _name_troubles(troubles)
    judged: list[evaluation.Labelled] = []
    whole: list[evaluation.Whole] = []
    failed = len(troubles)
    with _opened(model, models, labels) as (classifier, info):
        groups = bursts(found, by_folder=by_folder)
        results = evaluation.evaluate(groups, classifier, is_night, build_scene())
        for one in _shown(results, len(found) + len(groups), "photographs"):
            if isinstance(one, evaluation.Labelled):
                judged.append(one)
            elif isinstance(one, evaluation.Whole):
                whole.append(one)
            else:
                failed += 1
                _name_troubles([one])
    report = {
        "model": info.name,
        "sha256": info.sha256,
        **evaluation.report(judged, recall=recall, threshold=info.threshold, whole=whole),
        "failed": failed,
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        _tell_evaluation(report)
    if curves is not None and judged:
        write_curves(curves, report)  # last: where they cannot be drawn the figures are there
    ctx.exit(0 if judged else 1)


class _Tally:
    """What a replay came to. `unread` counts what could not be read, folders and photographs; `scored`
    photographs that have a score."""

    def __init__(self, unread: int) -> None:
        self.kept = self.discarded = self.unknown = self.scored = 0
        self.unread = unread

    @property
    def judged(self) -> int:
        return self.kept + self.discarded

    def count(self, result: Result) -> None:
        """One burst more; photographs that could not be judged are named, and bursts that show nothing."""
        for frame in result.frames:
            self.scored += frame.score is not None
            if frame.score is None:
                self.unread += 1
                click.echo(f"{frame.path}: {frame.failure}", err=True)
        if result.verdict.verdict == "unknown":
            self.unknown += 1
            if all(frame.score is not None for frame in result.frames):
                click.echo(f"{result.burst.name}: {result.verdict.reason}", err=True)
        elif result.verdict.keep:
            self.kept += 1
        else:
            self.discarded += 1

    def counted(self, results: Iterable[Result]) -> Iterator[Result]:
        """The same results, each counted."""
        for result in results:
            self.count(result)
            yield result

    def tell(self, seconds: float, out: Path | None) -> None:
        """The closing line, on stderr."""
        total = self.judged + self.unknown
        unread = f"; {self.unread} could not be read" if self.unread else ""
        where = f" -> {out}" if out else ""
        click.echo(
            f"{counted(total, 'burst')} in {seconds:.1f} s: {self.kept} kept, "
            f"{self.discarded} discarded as empty, {self.unknown} unknown (kept){unread}{where}",
            err=True,
        )


@contextlib.contextmanager
def _opened(model: str, models: Path | None, labels: Path | None) -> Iterator[tuple[Classifier, ModelInfo]]:
    from trapd.parts import build_classifier

    classifier = build_classifier(model, models=models, labels=labels)
    try:
        yield classifier, classifier.open()
    finally:
        classifier.close()


def _shown(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The same items, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, total=total, console=Console(stderr=True), transient=True)


def _name_troubles(troubles: Iterable[Trouble]) -> None:
    for trouble in troubles:
        click.echo(f"{trouble.path}: {trouble.why}", err=True)


def _tell_evaluation(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    failed = f", {report['failed']} could not be read or judged" if report["failed"] else ""
    seen = f"{counted(report['n_nonempty'], 'photograph')} with something, {report['n_empty']} empty"
    console.print(f"model {report['model']}: {seen}, in {counted(report['n_bursts'], 'burst')}{failed}")
    groups = Table("set", "with", "empty", "AUC", f"recall at {report['threshold']}", "false-keep")
    whole = {"whole bursts": report["bursts"]} if "bursts" in report else {}
    for name, group in {"all": _at_own(report), **report["by"], **whole}.items():
        groups.add_row(
            name,
            str(group["n_nonempty"]),
            str(group["n_empty"]),
            _with_interval(group["auc"], group["auc_ci"]),
            _with_interval(group["recall"], group["recall_ci"]),
            _with_interval(group["false_keep"], group["false_keep_ci"]),
        )
    console.print(groups)
    table = Table("threshold", "recall", "false-keep")
    for row in report["thresholds"]:
        table.add_row(
            f"{row['threshold']:.3f}",
            _with_interval(row["recall"], row["recall_ci"]),
            _with_interval(row["false_keep"], row["false_keep_ci"]),
        )
    console.print(table)
    if report["recommended"] is not None:
        console.print(f"threshold {report['recommended']:.3f} reaches recall {report['recall']:g} here")


def _at_own(report: dict[str, Any]) -> dict[str, Any]:
    own = min(report["thresholds"], key=lambda row: abs(row["threshold"] - report["threshold"]))
    return {**own, **{key: report[key] for key in ("auc", "auc_ci", "n_nonempty", "n_empty")}}


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.3f}-{interval[1]:.3f}]"
