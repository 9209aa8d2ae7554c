"""Figures of the proofs, for the report at the end of pytest's output: what there is to try, what was tried.

A proof tries cases at points: places where something may break. A run of all tests tries a sample of them,
`scripts/prove` (TRAPD_PROVE=1) as many as the proof knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

PROVE = os.environ.get("TRAPD_PROVE") == "1"
PROOFS: list[Proof] = []
LINES: list[str] = []


@dataclass(frozen=True, slots=True)
class Proof:
    """`points`: how many were enumerated; None where they are drawn. `short`, `full`: how many cases the two
    kinds of run try, None where this run cannot tell; `tried` is what this one did.
    """

    name: str
    points: int | None
    short: int | None
    full: int | None
    tried: int
    breached: int
    seconds: float


def prove(proof: Proof) -> None:
    """Add a proof to the report."""
    PROOFS.append(proof)


def tell(line: str) -> None:
    """Add a line of words to the report."""
    LINES.append(line)


def report() -> Iterator[str]:
    """The lines of the report; none where nothing was proved."""
    if PROOFS:
        yield f"{'proof':<42}{'points':>8}{'short':>8}{'full':>8}{'tried':>8}{'breached':>10}{'s':>7}"
    for proof in PROOFS:
        counts = "".join(_cell(count) for count in (proof.points, proof.short, proof.full, proof.tried))
        yield f"{proof.name:<42}{counts}{proof.breached:>10,}{proof.seconds:>7,.0f}"
    if PROOFS:
        yield "short, full: cases that a run of all tests and scripts/prove try; -: not known in this run"
    yield from LINES


def _cell(count: int | None) -> str:
    return f"{'-' if count is None else f'{count:,}':>8}"
