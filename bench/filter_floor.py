"""The floor that the filter is held to: the bare interpreter, doing the same real work and nothing else.

One tensor, made beforehand, goes in; the network runs; every output comes out. No conversion, no decoding.
Deliberately written against the runtime's own interface, with nothing of trapd in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter


class Floor:
    """The bare interpreter over one model file, on one thread."""

    def __init__(self, model: Path) -> None:
        self._interpreter = Interpreter(model_path=str(model), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [details["index"] for details in self._interpreter.get_output_details()]

    def run(self, tensor: Any) -> list[Any]:
        """All outputs for one prepared tensor."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
