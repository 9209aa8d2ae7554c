"""Fits heads to examples, and scores maps with them. Needs training's environment.

Loss: is there something in the view (its hottest cell), and half as much which cells hold it, where that is
known. Everything is seeded: the same examples give the same heads on one machine. Several heads of different
seeds are put together: what one of them made up, the others take away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.features import Examples, Maps
from training.head import Head


@dataclass(frozen=True, slots=True)
class Recipe:
    """How heads are fitted."""

    heads: int = 1
    epochs: int = 4
    batch: int = 64
    rate: float = 1e-3
    decay: float = 3e-2


def fit(examples: Examples, chosen: npt.NDArray[np.int64], recipe: Recipe) -> list[Head]:
    """Heads fitted to the examples of these numbers."""
    return [_fit(examples, chosen, recipe, seed) for seed in range(recipe.heads)]


def _fit(examples: Examples, chosen: npt.NDArray[np.int64], recipe: Recipe, seed: int) -> Head:
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    head = Head()
    head.train()
    work = torch.optim.AdamW(head.parameters(), recipe.rate, weight_decay=recipe.decay)
    steps = recipe.epochs * math.ceil(len(chosen) / recipe.batch)
    pace = torch.optim.lr_scheduler.OneCycleLR(work, recipe.rate, total_steps=steps, pct_start=0.1)
    for _ in range(recipe.epochs):
        order = draw.permutation(chosen)
        for start in range(0, len(order), recipe.batch):
            loss = _loss(head, examples, np.sort(order[start : start + recipe.batch]))
            work.zero_grad()
            loss.backward()
            work.step()
            pace.step()
    head.eval()
    return head


def _loss(head: Head, examples: Examples, batch: npt.NDArray[np.int64]) -> torch.Tensor:
    something = torch.from_numpy(examples.something[batch]).float()
    cells = torch.from_numpy(examples.cells[batch]).float()
    logits = head(torch.from_numpy(examples.maps[batch]).float())
    of_views = functional.binary_cross_entropy_with_logits(logits.amax(1), something)
    known = cells >= 0
    if not known.any():
        return of_views
    return of_views + 0.5 * functional.binary_cross_entropy_with_logits(logits[known], cells[known])


def score(heads: list[Head], maps: Maps) -> npt.NDArray[np.float32]:
    """How sure the heads are that there is something, of each."""
    found = []
    with torch.no_grad():
        for start in range(0, len(maps), 64):
            part = torch.from_numpy(maps[start : start + 64]).float()
            logits = torch.stack([head(part) for head in heads]).mean(0)
            found.append(torch.sigmoid(logits.amax(1)).numpy())
    return np.concatenate(found)
