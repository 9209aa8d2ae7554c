"""What is fitted: a small head on both feature maps, and the module that is shipped.

A cell is a place of the fine grid. Its logit comes from the coarse map there, the fine map, and the mean of
the coarse map (the scene), by one hidden layer. The photograph's logit is that of its hottest cell, so that
something small counts as much as something large. Needs training's own environment.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.lite0 import COARSE_CHANNELS, FINE_CHANNELS, Lite0

HIDDEN = 64
_COARSE_GAIN, _FINE_GAIN = 0.5, 0.1  # about the same size, so that one step length fits both


class Head(nn.Module):
    """Maps to cells. `fine` False: the coarse map alone, on its own grid."""

    def __init__(self, *, fine: bool = True) -> None:
        super().__init__()
        self.coarse = nn.Linear(COARSE_CHANNELS, HIDDEN)
        self.scene = nn.Linear(COARSE_CHANNELS, HIDDEN, bias=False)
        self.fine = nn.Linear(FINE_CHANNELS, HIDDEN, bias=False) if fine else None
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.scene.weight)

    def cells(self, fine: Any, coarse: Any) -> Any:
        """Logits [N,cells] of maps [N,cells,C] with rows of cells one after the other."""
        coarse = coarse * _COARSE_GAIN
        hidden = self.coarse(coarse) + self.scene(coarse.mean(1, keepdim=True))
        if self.fine is not None:
            hidden = _doubled(hidden) + self.fine(fine * _FINE_GAIN)
        return self.last(self.dropout(functional.relu(hidden)))[..., 0]


def _doubled(x: Any) -> Any:
    """[N,rows*rows,C] to [N,4*rows*rows,C]: each place four times."""
    count, places, channels = x.shape
    rows = int(places**0.5)
    wide = x.reshape(count, rows, 1, rows, 1, channels).expand(count, rows, 2, rows, 2, channels)
    return wide.reshape(count, 4 * places, channels)


class Whole(nn.Module):
    """Trunk and head, as shipped: scores [1,2] (empty, something), embedding [1,1280], heat [1,G,G]."""

    def __init__(self, trunk: Lite0, head: Head) -> None:
        super().__init__()
        self.lite0 = trunk  # its name is what the quantiser knows it by
        self.coarse = _pointwise(head.coarse, _COARSE_GAIN)
        self.scene = _scaled(head.scene, _COARSE_GAIN)
        self.fine = None if head.fine is None else _pointwise(head.fine, _FINE_GAIN)
        self.last = _pointwise(head.last, 1.0)

    def forward(self, x: Any) -> Any:
        """See the class."""
        fine, coarse = self.lite0(x)
        embedding = coarse.mean((2, 3))
        hidden = self.coarse(coarse) + self.scene(embedding)[:, :, None, None]
        if self.fine is not None:
            hidden = functional.interpolate(hidden, scale_factor=2, mode="nearest") + self.fine(fine)
        heat = self.last(functional.relu(hidden))[:, 0]
        something = torch.sigmoid(heat.amax((1, 2)))
        return torch.stack((1 - something, something), 1), embedding, heat


def _pointwise(layer: nn.Linear, gain: float) -> nn.Conv2d:
    made = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None)
    made.weight.data = (layer.weight.data * gain)[:, :, None, None].contiguous()
    if layer.bias is not None and made.bias is not None:
        made.bias.data = layer.bias.data.clone()
    return made


def _scaled(layer: nn.Linear, gain: float) -> nn.Linear:
    made = nn.Linear(layer.in_features, layer.out_features, bias=False)
    made.weight.data = (layer.weight.data * gain).contiguous()
    return made
