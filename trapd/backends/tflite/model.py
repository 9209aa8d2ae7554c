"""A TFLite model that has passed its self-test: picture in, score out.

Used by one thread: the classifier's, or the main thread of a probe (model_probe). Loading runs the model on
pictures made from a fixed seed, one of them twice: what comes out must be finite, the same both times, and
within the range that its layout promises.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from trapd.backends.pictures import Pixels
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.fit import Placed
from trapd.backends.tflite.input import PictureInput
from trapd.backends.tflite.interpreter import Array, Interpreter, real
from trapd.backends.tflite.labels import Labels
from trapd.backends.tflite.layout import Layout, recognise, require_picture_input
from trapd.backends.tflite.mapping import let_go
from trapd.backends.tflite.metadata import Metadata, read_metadata
from trapd.backends.tflite.pixels import UNIT, Normalisation, normalisation
from trapd.errors import BadPicture, ModelUnavailable
from trapd.frozen import Frozen, replace
from trapd.records import FrameScore, Small

_SEED: Final = 20261122
_AHEAD: Final = 3  # frames that are converted at once: a burst
_INSTALL_ANOTHER: Final = "install another model"


class SelfTest(Frozen):
    """What the self-test saw: the score of each test picture, and the spread of each of its outputs."""

    scores: tuple[float, ...]
    spreads: tuple[float, ...]


class Model:
    """One loaded model."""

    def __init__(
        self, path: Path, *, threads: int, labels: Path | None = None, runtime: str | None = None
    ) -> None:
        """Load and test. Raises ModelUnavailable."""
        if not path.is_file():
            raise ModelUnavailable(f"there is no model {path}", "trapd model list shows what is installed")
        metadata = read_metadata(path, labels)
        self.title = metadata.card.name if metadata.card else ""
        self._interpreter = Interpreter(path, threads=threads, runtime=runtime)
        self.runtime = self._interpreter.runtime
        self._ready: deque[tuple[Small, Array | None]] = deque()  # None: it is in the input already
        self._spare: list[Array] = []
        self._size = require_picture_input(self._interpreter.inputs)
        self._quantised = any(tensor.scale for tensor in self._interpreter.outputs)
        self.input = str(self._interpreter.inputs[0])
        norm = self._normalisation(metadata, UNIT)
        colours = metadata.card.colours if metadata.card else "RGB"
        self._pictures = PictureInput(self._size, self._interpreter.inputs[0], norm, colours)
        samples = self._sample()
        self.layout: Layout = self._recognise(metadata, samples, path.name)
        norm = self._normalisation(metadata, self.layout.pixels)
        self.pixels = norm.name
        self.fit = metadata.fit or self.layout.fit
        self.threshold = metadata.threshold or self.layout.threshold
        self._pictures.use(norm, self.fit)
        self.means = self._means(metadata)
        scores = tuple(self._decode(outputs).score for outputs in samples)
        spreads = tuple(float(np.std(output, dtype=np.float64)) for outputs in samples for output in outputs)
        self.tested = SelfTest(scores, spreads)
        let_go(path)

    def prepare(self, pictures: Sequence[Small]) -> None:
        """Convert the first frames now, one after the other: each alone would take half as long again.

        Just after the network has run the processor has nothing of numpy in its caches: it is fetched once.
        """
        self._ready.clear()
        tensor = self._interpreter.inputs[0]
        for picture in pictures[:_AHEAD]:
            try:
                plan = self._pictures.plan_of(picture)
            except BadPicture:
                continue  # whoever judges it is told
            if plan is None:
                return  # floats, for one, would take much memory
            number = len(self._ready)
            if number > len(self._spare):
                self._spare.append(np.empty(tensor.shape, tensor.dtype))
            place = self._spare[number - 1] if number else None
            plan.write(picture.data, (self._interpreter.input() if place is None else place)[0])
            self._ready.append((picture, place))

    def judge(self, picture: Small | bytes) -> FrameScore:
        """One frame's score. Raises BadPicture; ModelUnavailable for what is no score."""
        if self._ready and self._ready[0][0] is picture:
            place = self._ready.popleft()[1]
            if place is not None:
                self._interpreter.fill(place)
            return self._decode(self._interpreter.run())
        if self._ready and self._ready[0][1] is None:
            self._ready.popleft()  # this one takes its place
        if isinstance(picture, Small) and (plan := self._pictures.plan_of(picture)) is not None:
            plan.write(picture.data, self._interpreter.input()[0])
            return self._decode(self._interpreter.run())
        reading = self._pictures.read(picture)
        reading.write(self._interpreter.input())
        judged = self._decode(self._interpreter.run())
        return judged if reading.whole else self._of_picture(judged, reading.placed)

    def _normalisation(self, metadata: Metadata, usual: str) -> Normalisation:
        tensor = self._interpreter.inputs[0]
        if metadata.card is not None and tensor.dtype != "float32":
            return Normalisation("bytes as they are", (0.0,), (1.0,))  # as the format of the card has it
        return normalisation(
            tensor, pixels=metadata.pixels, mean=metadata.mean, std=metadata.std, usual=usual
        )

    def _means(self, metadata: Metadata) -> dict[str, int]:
        """How many labels stand for what."""
        if self.layout.labels is None:
            return {}
        return dict(Counter(Labels.of(self.layout.labels, metadata.classes).meanings))

    def _recognise(self, metadata: Metadata, samples: Sequence[Sequence[Array]], file: str) -> Layout:
        shapes = [tuple(output.shape for output in outputs) for outputs in samples]
        if any(other != shapes[0] for other in shapes):
            raise ModelUnavailable(
                "the model's outputs change their shape from picture to picture",
                "export it with fixed shapes",
            )
        # The file may leave lengths open; what came out has them all.
        outputs = tuple(
            replace(tensor, shape=shape)
            for tensor, shape in zip(self._interpreter.outputs, shapes[0], strict=True)
        )
        return recognise(ModelFacts(self._interpreter.inputs, outputs, metadata, samples, self._size, file))

    def _decode(self, outputs: Sequence[Array]) -> FrameScore:
        try:
            if self._quantised and not self.layout.raw:
                outputs = [
                    real(output, tensor)
                    for output, tensor in zip(outputs, self._interpreter.outputs, strict=True)
                ]
            return self.layout.decode(outputs)
        except (ValueError, IndexError, OverflowError) as error:
            raise ModelUnavailable(f"the model gave no sound score: {error}", _INSTALL_ANOTHER) from error

    def _of_picture(self, judged: FrameScore, placed: Placed) -> FrameScore:
        """Boxes relative to the input made relative to the picture that lies in it."""
        boxes = (
            replace(found, bbox=box)
            for found in judged.detections
            if (box := placed.box_of_picture(found.bbox, self._size)) is not None
        )
        return replace(judged, detections=tuple(boxes))

    def time_ms(self) -> float:
        """How long one run takes, with reading its outputs."""
        begin_s = time.perf_counter()
        self._decode(self._run(_grey(self._pictures.size)))
        return (time.perf_counter() - begin_s) * 1000

    def _sample(self) -> list[list[Array]]:
        """The outputs for each test picture."""
        width, height = self._pictures.size
        # Not numpy's: its generators are 2 MB of memory that nothing else needs.
        random = Random(_SEED).randbytes(height * width * 3)  # noqa: S311 - a picture, no secret
        noise = np.frombuffer(random, np.uint8).reshape(height, width, 3)
        black = np.zeros((height, width, 3), np.uint8)
        samples = [self._run(pixels) for pixels in (noise, _grey(self._pictures.size), black)]
        again = self._run(noise)
        for outputs in (*samples, again):
            if not all(np.isfinite(output).all() for output in outputs):
                raise ModelUnavailable(
                    "the model fails its self-test: it gives values that are not numbers", _INSTALL_ANOTHER
                )
        if not all(np.array_equal(first, second) for first, second in zip(samples[0], again, strict=True)):
            raise ModelUnavailable(
                "the model fails its self-test: it gives different values for one picture", _INSTALL_ANOTHER
            )
        return samples

    def _run(self, pixels: Pixels) -> list[Array]:
        self._pictures.write_pixels(pixels, self._interpreter.input())
        return self._interpreter.run()


def _grey(size: tuple[int, int]) -> Pixels:
    return np.full((size[1], size[0], 3), 128, np.uint8)
