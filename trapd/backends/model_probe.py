"""Trying a model in child processes, where one that ends its process, or hangs, does no harm.

`probe` is called by `trapd model` and, for a file that nobody vouches for, by the classifier before it loads
it. The child is this module run as a program; it prints one JSON object. Several children must agree: there
are models that read memory which nobody has written, and give different values in different processes for the
same picture. All children but the first find that memory full of numbers beyond all others (glibc only).
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen, field

PROCESSES: Final = 3
TIMEOUT_S: Final = 120.0  # for one child: a large model on a Raspberry Pi Zero takes tens of seconds

_AGREE: Final = 1e-3
# glibc writes the other bits of this byte's number over what it hands out: here floats of 3.4e38 and -1.7e38.
_FILLS: Final = (None, "128", "1")
_TRIALS: Final = 5
_MOST_OUTPUT: Final = 1_000_000


class Probe(Frozen):
    """What trying a model showed. `reason` and `hint` are empty when it is sound.

    `labels` None: the model has none, and cannot judge until it is given some. `means`: how many
    stand for what. `pixels` and `fit`: how a picture is fed. `note`: what a person should know. `ms`: of one
    picture.
    `values`: what the self-test's pictures gave, to be compared between processes.
    """

    ok: bool
    layout: str | None = None
    input: str | None = None
    labels: tuple[str, ...] | None = None
    ms: float | None = None
    threshold: float | None = None
    tells: tuple[str, ...] = ()
    means: dict[str, int] = field(default_factory=dict)
    pixels: str | None = None
    fit: str | None = None
    note: str = ""
    reason: str = ""
    hint: str = ""
    values: tuple[float, ...] = ()


def probe(
    path: Path,
    *,
    labels: Path | None = None,
    processes: int = PROCESSES,
    timeout_s: float = TIMEOUT_S,
    threads: int = 1,
    runtime: str | None = None,
) -> Probe:
    """Load and self-test the model in `processes` children, one after the other. Raises nothing."""
    command = _command(path, labels, threads, runtime)
    answers: list[Probe] = []
    for number in range(processes):
        answer = _one(command, timeout_s, _FILLS[number % len(_FILLS)])
        if not answer.ok:
            return answer
        answers.append(answer)
    first = answers[0]
    for other in answers[1:]:
        if not all(_alike(a, b) for a, b in zip(first.values, other.values, strict=True)):
            return Probe(
                ok=False,
                reason="the model fails its self-test: it gives different values in different processes",
                hint="install another model",
            )
    return first


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_AGREE, abs_tol=_AGREE)


def _command(path: Path, labels: Path | None, threads: int, runtime: str | None) -> list[str]:
    command = [sys.executable, "-P", "-m", "trapd.backends.model_probe", str(path.absolute())]
    if labels is not None:
        command += ["--labels", str(labels.absolute())]
    if threads != 1:
        command += ["--threads", str(threads)]
    if runtime is not None:
        command += ["--runtime", runtime]
    return command


def _one(command: list[str], timeout_s: float, fill: str | None) -> Probe:
    import subprocess

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env=_environment(fill),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(ok=False, reason=f"the model gave no answer in {timeout_s:.0f} s", hint=_ANOTHER)
    except OSError as error:
        return Probe(ok=False, reason=f"no process can be started to try the model: {error.strerror}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Probe(
            ok=False,
            reason=f"the model ended the process that tried it ({name})",
            hint="it is damaged, or needs more memory than there is",
        )
    try:
        return _parsed(json.loads(done.stdout[:_MOST_OUTPUT].splitlines()[-1]))
    except (ValueError, IndexError, KeyError, TypeError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return Probe(ok=False, reason=f"the process that tried the model failed: {last[0][:200]}")


_ANOTHER: Final = "install another model"


def _environment(fill: str | None) -> dict[str, str]:
    """The child finds the package that is running now, wherever it was started."""
    package = str(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH")
    filling = {} if fill is None else {"MALLOC_PERTURB_": fill}
    return {**os.environ, **filling, "PYTHONPATH": package + (os.pathsep + others if others else "")}


def _parsed(document: dict[str, Any]) -> Probe:
    labels = document.get("labels")
    return Probe(
        ok=bool(document["ok"]),
        layout=document.get("layout"),
        input=document.get("input"),
        labels=tuple(labels) if labels is not None else None,
        ms=document.get("ms"),
        threshold=document.get("threshold"),
        tells=tuple(document.get("tells", ())),
        means=dict(document.get("means", {})),
        pixels=document.get("pixels"),
        fit=document.get("fit"),
        note=str(document.get("note", "")),
        reason=str(document.get("reason", "")),
        hint=str(document.get("hint", "")),
        values=tuple(document.get("values", ())),
    )


def main(arguments: list[str]) -> int:
    """The child: print what the model is, or why it cannot be used."""
    import argparse

    parser = argparse.ArgumentParser(prog="model_probe")
    parser.add_argument("file", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--runtime")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        document = _examine(options.file, options.labels, options.threads, options.runtime)
    except ModelUnavailable as error:
        document = {"ok": False, "reason": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(document) + "\n")
    return 0 if document["ok"] else 1


def _examine(path: Path, labels: Path | None, threads: int, runtime: str | None) -> dict[str, Any]:
    import statistics

    from trapd.backends.tflite.model import Model

    model = Model(path, threads=threads, labels=labels, runtime=runtime)
    layout = model.layout
    return {
        "ok": True,
        "layout": layout.name,
        "input": model.input,
        "labels": layout.labels,
        "ms": round(statistics.median(model.time_ms() for _ in range(_TRIALS)), 2),
        "threshold": model.threshold,
        "pixels": model.pixels,
        "fit": model.fit,
        "note": layout.note,
        "means": model.means,
        "tells": sorted(layout.tells),
        "values": [*model.tested.scores, *model.tested.spreads],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
