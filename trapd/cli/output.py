"""Where a replay writes: to a stream as it goes, or to a file that appears when it is whole. Main thread.

What has been judged for a file is kept beside it until then (`offline/unfinished`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trapd.cli.words import counted
from trapd.errors import UsageError
from trapd.offline.gather import Burst
from trapd.offline.replay import Result
from trapd.offline.unfinished import Unfinished

Write = Callable[[str], object]


def write_results(
    out: Path | None,
    bursts: Sequence[Burst],
    judge: Callable[[Burst], Result],
    *,
    about: Mapping[str, Any],
    watched: Callable[[Iterable[Result]], Iterator[Result]],
    render: Callable[[Iterable[Result], Write], None],
) -> None:
    """Judge the bursts and write what `render` makes of them. `about`: all that the judgements depend on.

    `watched` sees each result once, as it comes. Raises UsageError for what cannot be written.
    """
    try:
        file = _regular(out)
        if file is None:
            with _stream(out) as write:
                render(watched(map(judge, bursts)), write)
            return
        with _unfinished(file, about, bursts) as kept:
            for _ in watched(kept.finish(judge)):
                pass
            with _whole(file) as write:
                render(kept.results(), write)
            kept.remove()
    except OSError as error:
        if out is None:
            raise
        which = str(error.filename or out)
        which = which if which != str(out) and os.path.lexists(which) else ""
        raise UsageError(f"cannot write {out}: {error.strerror}", which) from error


def _regular(out: Path | None) -> Path | None:
    """The file that `out` is, or will be, links followed; None for what is written to as it stands.

    That is a pipe, a device, and standard output or error under its name in /dev, whatever the shell has put
    behind it.
    """
    if out is None or (out.exists() and not out.is_file()) or _is_standard(out):
        return None
    return Path(os.path.realpath(out))


def _is_standard(out: Path) -> bool:
    """Whether `out` is the file that standard output or error goes to: a new one must not take its place."""
    found = out.stat() if out.exists() else None
    for number in (1, 2):
        with contextlib.suppress(OSError):  # closed by who started us
            if found is not None and os.path.samestat(found, os.fstat(number)):
                return True
    return False


@contextlib.contextmanager
def _stream(out: Path | None) -> Iterator[Write]:
    """Standard output, or what `out` names as it stands."""
    if out is None:
        yield lambda text: click.echo(text, nl=False)
        return
    with out.open("a", encoding="utf-8") as opened:
        yield opened.write


@contextlib.contextmanager
def _whole(file: Path) -> Iterator[Write]:
    """A file that appears under its name in one step, on the disk, or not at all."""
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8") as opened:
            yield opened.write
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _unfinished(file: Path, about: Mapping[str, Any], bursts: Sequence[Burst]) -> Iterator[Unfinished]:
    """What is judged for `file`, by an interrupted run too; says what is taken from it, and what is kept."""
    kept = Unfinished(file.with_name(f".{file.name}.part"), about, bursts)
    try:
        if kept.other:
            click.echo(f"{kept.path} is of another model, threshold or trapd: all is judged anew", err=True)
        elif kept.taken:
            taken = counted(kept.taken, "burst")
            click.echo(
                f"{taken} taken from an interrupted run; to judge all anew, remove {kept.path}", err=True
            )
        yield kept
    except (KeyboardInterrupt, OSError):
        if len(kept):
            click.echo(
                f"what was judged is kept in {kept.path}: the same command goes on from there", err=True
            )
        else:
            click.echo(f"{file} is not written: nothing was judged yet", err=True)
        raise
    finally:
        kept.close()
