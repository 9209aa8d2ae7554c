"""A torch module to a `.tflite` file: trunk and input in 8 bits, the head in floats.

Needs training's own environment. The input is int8 [1,S,S,3], a byte less 128.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe
from torch import nn

from training.views import Pixels

QUANTISED = ".*lite0.*"
"""Operations of a submodule of this name get 8 bits."""


def export(module: nn.Module, out: Path, pictures: Sequence[Pixels]) -> None:
    """Write `module`, whose input is [1,3,S,S] in (byte - 127) / 128.

    `pictures`: what ranges are measured on, as the module takes them.
    """
    side = pictures[0].shape[0]
    sample = (torch.zeros(1, side, side, 3),)
    last = litert_torch.to_channel_last_io(module.eval(), args=[0])
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tflite"
        litert_torch.convert(last, sample).export(str(plain))
        _quantise(plain, out, pictures)


def _quantise(plain: Path, out: Path, pictures: Sequence[Pixels]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(str(plain)).get_signature_list()
    name = next(iter(signatures))
    given = signatures[name]["inputs"][0]
    base = recipe.static_wi8_ai8()[0]
    steps = [
        dict(base, regex=QUANTISED),
        dict(base, regex=".*args_0.*", operation="INPUT"),
    ]
    work = quantizer.Quantizer(str(plain), steps)
    found = work.calibrate({name: [{given: _measured(picture)} for picture in pictures]})
    work.quantize(found).export_model(str(out), overwrite=True)


def _measured(picture: Pixels) -> Any:
    """With a black and a white place, so that the input's scale is 1/128 to the last bit."""
    values = (picture[None].astype(np.float32) - 127) / 128
    values[0, 0, 0], values[0, 0, 1] = -127 / 128, 1.0
    return values
