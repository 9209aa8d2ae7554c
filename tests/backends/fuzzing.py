"""Damaged models and photographs through the classifier, in a process that must live to the end.

`python -m tests.backends.fuzzing COUNT SEED` does what the daemon does with a model that nobody vouches for:
opens it (which tries it in a child first), judges pictures, and takes whatever is raised. It prints one JSON
object: how many models opened, how many were refused, and how many pictures were judged and refused. Anything
else that is raised, or a score out of range, ends it with a trace.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.backends.pictures_made import jpeg_of, png_of, scene
from tests.fakes.tflite_file import Made, Value, described, write
from trapd.backends.model_files import find
from trapd.backends.pictures import small_of
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.errors import BadPicture, ModelUnavailable
from trapd.records import FrameScore

_HEADER_BYTES = 4000  # where the structure of the small models lies; weights follow


def main(count: int, seed: int) -> dict[str, int]:
    draw = random.Random(seed)
    tally = {"opened": 0, "refused": 0, "judged": 0, "bad_pictures": 0, "unsound": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = list(_models(folder))
        pictures = [jpeg_of(scene()), png_of(scene(60, 40))]
        path = folder / "damaged.tflite"
        for _ in range(count):
            path.write_bytes(_damaged(draw, draw.choice(whole)))
            classifier = TfliteClassifier(path, name="damaged", threads=draw.choice((1, 2)))
            try:
                classifier.open()
            except ModelUnavailable as error:
                assert str(error)
                assert "\n" not in str(error)
                tally["refused"] += 1
                continue
            tally["opened"] += 1
            for picture in pictures:
                _judge(classifier, picture, tally)
                _judge(classifier, _damaged(draw, picture), tally)
            _judge(classifier, None, tally)
            classifier.close()
    return tally


def _judge(classifier: TfliteClassifier, picture: bytes | None, tally: dict[str, int]) -> None:
    try:
        found = classifier.judge(
            picture if picture is not None else small_of(jpeg_of(scene()), (640, 360))[0]
        )
    except BadPicture:
        tally["bad_pictures"] += 1
    except ModelUnavailable:
        tally["unsound"] += 1
    else:
        tally["judged"] += 1
        _check(found)


def _check(found: FrameScore) -> None:
    values = (found.score, *found.by_class.values(), *(box.conf for box in found.detections))
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values), found
    for box in found.detections:
        assert all(0 <= value <= 1 + 1e-9 for value in box.bbox), found


def _models(folder: Path) -> Iterator[bytes]:
    path = folder / "whole.tflite"
    rows = np.zeros((1, 84, 84), np.float32)
    rows[0, :4] = 20
    rows[0, 20, 5] = 0.8
    labels = {"labels.txt": "\n".join(["cat"] * 80)}
    yield write(
        path, Made((1, 64, 64, 3), "uint8", 1 / 255, outputs=[Value(rows)], files=dict(labels))
    ).read_bytes()
    yield write(
        path,
        Made(
            dtype="int8",
            scale=1 / 255,
            zero_point=-128,
            outputs=[Value([[0.3, 0.7]], "uint8", 1 / 256, 0, gain=[[0.1, -0.1]])],
            metadata=described(label_files=["x.txt"], mean=[127.5], std=[127.5]),
            files={"x.txt": "empty\nanimal\n"},
        ),
    ).read_bytes()
    boxes = [
        Value(np.full((1, 5, 4), 0.5)),
        Value(np.ones((1, 5))),
        Value(np.full((1, 5), 0.4)),
        Value([5.0]),
    ]
    yield write(path, Made(outputs=boxes, files={"labelmap.txt": "person\nwolf\n"})).read_bytes()
    yield find("default", None).read_bytes()


def _damaged(draw: random.Random, data: bytes) -> bytes:
    """Flipped bits, a cut, or a piece of zeros; in the head, the tail or anywhere."""
    kind = draw.choice(("flip", "flip", "flip", "cut", "zero"))
    if kind == "cut":
        return data[: draw.choice((0, 3, 8, 40, draw.randrange(len(data)), len(data) - 1))]
    begin, end = draw.choice(
        ((0, min(_HEADER_BYTES, len(data))), (max(0, len(data) - 600), len(data)), (0, len(data)))
    )
    changed = bytearray(data)
    if kind == "zero":
        at = draw.randrange(begin, end)
        changed[at : at + 16] = bytes(len(changed[at : at + 16]))
        return bytes(changed)
    for _ in range(draw.choice((1, 1, 4, 40))):
        changed[draw.randrange(begin, end)] ^= 1 << draw.randrange(8)
    return bytes(changed)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
