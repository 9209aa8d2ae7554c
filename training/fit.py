"""Fits a head to examples, and scores maps with it. A minute on two free cores; needs training's environment.

Loss: is there something in the view (its hottest cell), and half as much which cells hold it, where that is
known. Everything is seeded: the same examples give the same head on one machine.
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
    """How a head is fitted."""

    fine: bool = True
    epochs: int = 4
    batch: int = 64
    rate: float = 1e-3
    decay: float = 3e-2
    seed: int = 0


def fit(examples: Examples, chosen: npt.NDArray[np.int64], recipe: Recipe) -> Head:
    """A head fitted to the examples of these numbers."""
    torch.manual_seed(recipe.seed)
    draw = np.random.default_rng(recipe.seed)
    head = Head(fine=recipe.fine)
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
    fine = torch.from_numpy(examples.fine[batch]).float()
    coarse = torch.from_numpy(examples.coarse[batch]).float()
    something = torch.from_numpy(examples.something[batch]).float()
    cells = torch.from_numpy(examples.cells[batch]).float()
    if head.fine is None:
        cells = _coarser(cells)
    logits = head.cells(fine, coarse)
    of_views = functional.binary_cross_entropy_with_logits(logits.amax(1), something)
    known = cells >= 0
    if not known.any():
        return of_views
    # Few cells hold something: each kind counts for half.
    held = logits[known & (cells == 1)]
    bare = logits[known & (cells == 0)]
    of_cells = (_mean(functional.softplus(-held)) + _mean(functional.softplus(bare))) / 2
    return of_views + 0.5 * of_cells


def _mean(losses: torch.Tensor) -> torch.Tensor:
    return losses.sum() / max(1, losses.numel())


def _coarser(cells: torch.Tensor) -> torch.Tensor:
    """Of four cells the one that says most: something, unknown, nothing."""
    rows = int(cells.shape[1] ** 0.5)
    order = torch.where(cells == 1, 2.0, torch.where(cells < 0, 1.0, 0.0))
    most = functional.max_pool2d(order.reshape(-1, 1, rows, rows), 2).flatten(1)
    return torch.where(most == 2, 1.0, torch.where(most == 1, -1.0, 0.0))


def score(head: Head, fine: Maps, coarse: Maps) -> npt.NDArray[np.float32]:
    """How sure the head is that there is something, of each."""
    found = []
    with torch.no_grad():
        for start in range(0, len(fine), 64):
            part = slice(start, start + 64)
            logits = head.cells(torch.from_numpy(fine[part]).float(), torch.from_numpy(coarse[part]).float())
            found.append(torch.sigmoid(logits.amax(1)).numpy())
    return np.concatenate(found)
