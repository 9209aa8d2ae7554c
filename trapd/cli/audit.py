"""`trapd audit`: judge the sample of what was discarded and kept; the miss rate that follows from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trapd.cli.inspect import store_of
from trapd.cli.options import ANY_PATH, config_option, json_option
from trapd.cli.words import counted
from trapd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trapd.config import Loaded
    from trapd.interval import Share
    from trapd.sampling import Figures, Sample
    from trapd.store import Session

_KEYS = {"a": "animal", "p": "person", "v": "vehicle", "s": "something", "e": "empty", "u": "unsure"}
_UNSORTED = "unsorted"
_PHOTOGRAPH = ".jpg"


@click.command()
@config_option
@json_option
@click.option("--judge", is_flag=True, help="Judge here, one key a burst (the default on a terminal).")
@click.option("--show", metavar="PROGRAM", help="Opens each burst's sheet, such as xdg-open or feh.")
@click.option(
    "--export",
    metavar="DIR",
    type=ANY_PATH,
    help="Write the bursts to judge there, to be sorted into folders.",
)
@click.option("--read", metavar="DIR", type=ANY_PATH, help="Read back how an exported folder was sorted.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many bursts.")
@click.option(
    "--every-filter", is_flag=True, help="Earlier models and thresholds as well as the one in force."
)
def audit(
    config: str | None,
    as_json: bool,
    judge: bool,
    show: str | None,
    export: Path | None,
    read: Path | None,
    limit: int | None,
    every_filter: bool,
) -> None:
    """Judge the sample, and see the miss rate and the false-keep rate with their 95 % intervals.

    Works whether or not the daemon runs. On a terminal each burst that waits is asked for by one key; with
    --export they are written as sheets to sort into folders, and --read reads these back.
    """
    from trapd.config import find, load

    if export is not None and read is not None:
        raise UsageError("--export and --read exclude each other", "sort the folder between the two")
    loaded = load(find(config))
    with store_of(loaded) as session:
        view = _View(loaded, session, every_filter)
        if read is not None:
            _read_back(view, read)
        if export is not None:
            _export(view, export, limit)
        elif read is None and not as_json and (judge or (sys.stdin.isatty() and sys.stdout.isatty())):
            _judge(view, show, limit)
        found = view.figures()
    if as_json:
        click.echo(json.dumps(_as_json(found)))
    else:
        _tell(found, loaded.settings.filter.audit_fraction)


class _View:
    """The sample of one store: of the filter in force, or of every one."""

    def __init__(self, loaded: Loaded, session: Session, every_filter: bool) -> None:
        from trapd.sampling import Heap, newest_filter

        self.session = session
        self.classes = loaded.settings.filter.classes
        totals = session.audits.totals()
        now = newest_filter(list(totals))
        self.totals = {
            name: total for name, total in totals.items() if every_filter or Heap.parse(name).filter == now
        }
        self.seed = session.audits.known_seed() or ""
        self.samples: Sequence[Sample] = session.audits.samples()

    def figures(self) -> Figures:
        from trapd.sampling import figures

        truths = self.session.audits.truths()
        return figures(self.totals, self.samples, truths, classes=self.classes, seed=self.seed)

    def waiting(self) -> list[Sample]:
        """What can be judged and is not yet, in the order to judge it."""
        from trapd.sampling import shuffled

        truths = self.session.audits.truths()
        there = [one for one in self.samples if one.heap in self.totals and not one.lost]
        return [one for one in shuffled(there, self.seed) if one.id not in truths]

    def sheet(self, event_id: str) -> bytes | None:
        """The burst on one sheet; its thumbnail where the photographs are gone; None without either."""
        from trapd.errors import BadPicture
        from trapd.offline.sheet import sheet
        from trapd.store.photographs import reading, thumbs

        event = self.session.events.get(event_id)
        if event is None:
            return None
        found: list[bytes] = []
        for medium in event.media:
            try:
                found.append(reading.read(self.session.root, medium))
            except BadPicture:
                continue
        made = sheet(found)
        if made is not None:
            return made
        try:
            return thumbs.read(self.session.root, event)
        except BadPicture:
            return None


def _judge(view: _View, show: str | None, limit: int | None) -> None:
    """One key a burst. What the filter made of it is not shown: it would be believed."""
    import tempfile

    waiting = view.waiting()[:limit]
    if not waiting:
        return
    keys = ", ".join(f"{key} {truth}" for key, truth in _KEYS.items())
    click.echo(f"{counted(len(waiting), 'burst')} to judge. {keys}, b back, q quit", err=True)
    with tempfile.TemporaryDirectory(prefix="trapd-audit-") as folder:
        at = 0
        while at < len(waiting):
            one = waiting[at]
            picture = view.sheet(one.id)
            if picture is None:
                at += 1
                continue
            file = Path(folder, f"{one.id}{_PHOTOGRAPH}")
            file.write_bytes(picture)
            _open(show, file)
            key = _key(f"{at + 1}/{len(waiting)}  {file}  ")
            file.unlink(missing_ok=True)
            if key == "q":
                return
            if key == "b":
                at = max(0, at - 1)
                continue
            view.session.audits.tell({one.id: _KEYS[key]})
            at += 1


def _key(prompt: str) -> str:
    while True:
        click.echo(prompt, nl=False, err=True)
        try:
            key = click.getchar().lower()
        except EOFError:
            key = "q"
        click.echo(_KEYS.get(key, ""), err=True)
        if key in _KEYS or key in ("q", "b"):
            return key


def _open(show: str | None, file: Path) -> None:
    import shlex
    import subprocess

    if not show:
        return
    try:
        subprocess.Popen(
            [*shlex.split(show), str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot start {show}: {why}", "name a program that shows a JPEG") from error


def _export(view: _View, folder: Path, limit: int | None) -> None:
    from trapd.sampling import TRUTHS

    try:
        for name in (_UNSORTED, *TRUTHS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        written = 0
        for one in view.waiting()[:limit]:
            picture = view.sheet(one.id)
            if picture is not None:
                (folder / _UNSORTED / f"{one.id}{_PHOTOGRAPH}").write_bytes(picture)
                written += 1
    except OSError as error:
        raise UsageError(f"cannot write below {folder}: {error.strerror}", "name another folder") from error
    click.echo(
        f"{counted(written, 'burst')} in {folder / _UNSORTED}: sort them into the folders beside it, "
        f"then trapd audit --read {folder}",
        err=True,
    )


def _read_back(view: _View, folder: Path) -> None:
    from trapd.sampling import TRUTHS

    drawn = {one.id for one in view.session.audits.samples()}
    told: dict[str, str] = {}
    there = [truth for truth in TRUTHS if (folder / truth).is_dir()]
    if not there:
        raise UsageError(f"{folder} has none of the folders {', '.join(TRUTHS)}", "name the exported folder")
    try:
        for truth in there:
            for file in sorted((folder / truth).iterdir()):
                event_id = file.stem
                if event_id not in drawn:
                    click.echo(f"{file}: no burst of this unit's sample; passed over", err=True)
                elif event_id in told:
                    raise UsageError(f"{event_id} lies in {told[event_id]} and in {truth}", "leave it in one")
                else:
                    told[event_id] = truth
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}", "name the exported folder") from error
    known = view.session.audits.truths()
    view.session.audits.tell({key: truth for key, truth in told.items() if known.get(key) != truth})
    click.echo(f"{counted(len(told), 'judgement')} read", err=True)


def _as_json(found: Figures) -> dict[str, Any]:
    shares: Mapping[str, Share] = {
        "miss_rate": found.miss_rate,
        "false_keep": found.false_keep,
        "discarded_full": found.discarded_full,
        "kept_empty": found.kept_empty,
    }
    facts: dict[str, Any] = {}
    for name, share in shares.items():
        facts[name] = None if share.estimate is None else round(share.estimate, 6)
        facts[f"{name}_ci"] = [round(share.low, 6), round(share.high, 6)]
    counts = ("discarded", "kept", "drawn", "judged", "missed", "unsure", "waiting", "lost")
    return facts | {name: getattr(found, name) for name in counts}


def _tell(found: Figures, audit_fraction: float) -> None:
    click.echo(f"{counted(found.discarded, 'burst')} discarded, {found.kept} kept by the filter in force")
    click.echo(
        f"sample: {found.drawn} drawn, {found.judged} judged, {found.unsure} unsure, {found.waiting} wait, "
        f"{found.lost} went before anybody judged them"
    )
    if audit_fraction == 0:
        click.echo("filter.audit_fraction is 0: nothing more is drawn, and the miss rate stays unknown")
    for name, share, of in (
        ("miss rate", found.miss_rate, "of the bursts worth keeping were discarded"),
        ("false keeps", found.false_keep, "of the others were kept"),
        ("discarded", found.discarded_full, "of what was discarded was worth keeping"),
        ("kept", found.kept_empty, "of what was kept was not"),
    ):
        if share.estimate is None:
            click.echo(f"{name:12} not known yet")
            continue
        interval = f"95 %: {share.low:.2%} to {share.high:.2%}"
        click.echo(f"{name:12} {share.estimate:.2%} ({interval}) {of}")
