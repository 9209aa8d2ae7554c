"""One TFLite interpreter, whichever runtime this machine has: ai-edge-litert first, else tflite-runtime.

Used by one thread. Whatever the runtime says becomes ModelUnavailable with one sentence. A damaged file can
end the process inside tflite-runtime, which does not verify it: bytes that nobody vouches for are first tried
in a child process (model_probe).
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from trapd.backends.tflite.notice import without_notice
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen

if TYPE_CHECKING:
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"

RUNTIMES: Final = {"litert": "ai_edge_litert.interpreter", "tflite_runtime": "tflite_runtime.interpreter"}
"""Name and module, in order of preference. Both have the same Interpreter."""

_RUNTIME_ERRORS: Final = (ValueError, RuntimeError, TypeError, OSError, MemoryError, OverflowError)


class Tensor(Frozen):
    """One input or output. A real value is `(raw - zero_point) * scale`; a scale of 0 means not quantised."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class Interpreter:
    """A loaded network: its input is written in place, its outputs come out as real values."""

    def __init__(self, path: Path, *, threads: int, runtime: str | None = None) -> None:
        """Raises ModelUnavailable for a file that the runtime cannot load."""
        self.runtime, module = _runtime(runtime)
        try:
            with without_notice():
                self._native = module.Interpreter(model_path=str(path), num_threads=threads)
                self._native.allocate_tensors()
            self.inputs = tuple(_tensor(found) for found in self._native.get_input_details())
            self.outputs = tuple(_tensor(found) for found in self._native.get_output_details())
        except _RUNTIME_ERRORS as error:
            raise _unusable(path, error) from error

    def input(self) -> Array:
        """The first input itself, to be written into. Let go of it before `run`, which refuses otherwise."""
        view: Array = self._native.tensor(self.inputs[0].index)()
        return view

    def fill(self, values: Array) -> None:
        """Copy `values` into the first input, whose shape and type they have."""
        self._native.set_tensor(self.inputs[0].index, values)

    def run(self) -> list[Array]:
        """All outputs for what the input holds, as the model has them (`real`). Raises ModelUnavailable."""
        native = self._native
        try:
            native.invoke()
            return [native.get_tensor(tensor.index) for tensor in self.outputs]
        except _RUNTIME_ERRORS as error:
            raise ModelUnavailable(f"the model fails when it is run: {_first_line(error)}") from error


def _runtime(name: str | None) -> tuple[str, Any]:
    """The named runtime, or the first that can be imported. Raises ModelUnavailable."""
    for candidate in (name,) if name else RUNTIMES:
        try:
            return candidate, importlib.import_module(RUNTIMES[candidate])
        except ImportError:
            continue
    raise ModelUnavailable(
        f"the TFLite runtime {name} is not installed" if name else "no TFLite runtime is installed",
        "pip install ai-edge-litert (64-bit) or tflite-runtime",
    )


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        index=int(details["index"]),
        name=str(details["name"]),
        shape=tuple(int(length) for length in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def real(raw: Array, tensor: Tensor) -> Array:
    """What the numbers in a tensor stand for."""
    if tensor.scale and raw.dtype != np.float32:
        return (raw.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)
    return raw


def _unusable(path: Path, error: Exception) -> ModelUnavailable:
    text = str(error)
    if "edgetpu-custom-op" in text:
        return ModelUnavailable(
            f"{path.name} is compiled for an Edge TPU, which trapd does not drive",
            "use the file it was compiled from (the name without _edgetpu)",
        )
    if "unresolved custom op" in text:
        operation = re.split(r"[.\s]", text.partition("custom op:")[2].strip(), maxsplit=1)[0]
        return ModelUnavailable(
            f"{path.name} needs the operation {operation}, which the runtime does not have",
            "export it with built-in operations only",
        )
    return ModelUnavailable(
        f"{path.name} is not a TFLite model that can be loaded: {_first_line(error)}",
        "it may be damaged or cut short: install it again",
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
