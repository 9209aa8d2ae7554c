"""What is fitted: a small head on the trunk's last map, and the module that is shipped.

A cell's logit comes from the map there and the mean of the map (the scene), by one hidden layer. The
photograph's logit is that of its hottest cell, so that something small counts as much as something large.
Needs training's own environment.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.lite0 import CHANNELS, Lite0

HIDDEN = 64
_GAIN = 0.5  # so that the map's values are about one


class Head(nn.Module):
    """A map to logits of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.here = nn.Linear(CHANNELS, HIDDEN)
        self.scene = nn.Linear(CHANNELS, HIDDEN, bias=False)
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.scene.weight)

    def forward(self, maps: Any) -> Any:
        """Logits [N,cells] of maps [N,cells,CHANNELS]."""
        maps = maps * _GAIN
        hidden = self.here(maps) + self.scene(maps.mean(1, keepdim=True))
        return self.last(self.dropout(functional.relu(hidden)))[..., 0]


class Whole(nn.Module):
    """Trunk and heads, as shipped: scores [1,2] (empty, something), embedding [1,1280], heat [1,G,G].

    A cell's logit is the mean of the heads' logits there.
    """

    def __init__(self, trunk: Lite0, heads: Any) -> None:
        super().__init__()
        self.lite0 = trunk  # its name is what the quantiser knows it by
        # Side by side, several heads are one with as many times the hidden values.
        self.here = nn.Conv2d(CHANNELS, HIDDEN * len(heads), 1)
        self.scene = nn.Linear(CHANNELS, HIDDEN * len(heads), bias=False)
        self.last = nn.Conv2d(HIDDEN * len(heads), 1, 1)
        self.here.weight.data = _beside(head.here.weight * _GAIN for head in heads)[:, :, None, None]
        self.here.bias.data = _beside(head.here.bias for head in heads)
        self.scene.weight.data = _beside(head.scene.weight * _GAIN for head in heads)
        last = torch.cat([head.last.weight.data for head in heads], 1) / len(heads)
        self.last.weight.data = last[:, :, None, None].contiguous()
        self.last.bias.data = torch.stack([head.last.bias.data for head in heads]).mean(0)

    def forward(self, x: Any) -> Any:
        """See the class."""
        maps = self.lite0(x)
        embedding = maps.mean((2, 3))
        hidden = self.here(maps) + self.scene(embedding)[:, :, None, None]
        heat = self.last(functional.relu(hidden))[:, 0]
        something = torch.sigmoid(heat.amax((1, 2)))
        return torch.stack((1 - something, something), 1), embedding, heat


def _beside(parts: Any) -> Any:
    return torch.cat([part.data for part in parts], 0).contiguous()
