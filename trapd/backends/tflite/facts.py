"""All that a model's layout can be recognised by."""

from __future__ import annotations

from collections.abc import Sequence

from trapd.backends.tflite.interpreter import Array, Tensor, real
from trapd.backends.tflite.labels import Labels
from trapd.backends.tflite.metadata import Metadata
from trapd.errors import ModelUnavailable
from trapd.frozen import Frozen


class ModelFacts(Frozen):
    """`samples` holds the outputs for each picture of the self-test, as the model gave them: where shapes are
    alike, ranges tell. `size` is the input's width and height, `file` the model's file name.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Metadata
    samples: Sequence[Sequence[Array]]
    size: tuple[int, int] = (0, 0)
    file: str = ""

    def real(self, at: int) -> list[Array]:
        """What output `at` was for each picture, in real numbers. Raises ModelUnavailable: require_scale."""
        self.require_scale(at)
        return [real(sample[at], self.outputs[at]) for sample in self.samples]

    def require_scale(self, at: int) -> None:
        """Raise ModelUnavailable where whole numbers have no scale, or one for each channel: what they stand
        for cannot be told, and every guess would give a score.
        """
        tensor = self.outputs[at]
        if tensor.dtype.lstrip("u").startswith("int") and not tensor.scale:
            raise ModelUnavailable(
                f"the model's output {tensor} has no scale of its own: nothing says what its numbers are",
                "export it with float outputs, or with one scale for the whole output",
            )

    def labels(self) -> Labels | None:
        """What its classes are called and mean; None where nobody says."""
        names = self.metadata.labels
        return None if names is None else Labels.of(names, self.metadata.classes)
