"""Files of the known layouts as nobody has shown us any: read rightly, or refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.pictures_made import jpeg_of, scene
from tests.fakes.tflite_file import Made, Value, write
from trapd.backends.tflite.model import Model
from trapd.errors import ModelUnavailable
from trapd.records import FrameScore

SIDE = 160
GRID = (SIDE // 8) ** 2 + (SIDE // 16) ** 2 + (SIDE // 32) ** 2
NAMES = {"labels.txt": "animal\nperson\nvehicle\n"}
DRAW = np.random.default_rng(7)
Array = Any


def opened(folder: Path, outputs: list[Value], files: dict[str, str], **options: Any) -> Model:
    made = Made(**{"shape": (1, SIDE, SIDE, 3), **options}, outputs=outputs, files=dict(files))
    return Model(write(folder / "made.tflite", made), threads=1)


def judged(folder: Path, outputs: list[Value], files: dict[str, str], **options: Any) -> FrameScore:
    return opened(folder, outputs, files, **options).judge(jpeg_of(scene(SIDE, SIDE)))


def chosen_rows(places: int = 300, further: int = 0, *, centred: bool = False) -> Array:
    """[places, 6 + further]: the strongest first, an animal in the middle; the rest hardly anything."""
    rows = np.zeros((places, 6 + further), np.float32)
    rows[:, :4] = np.array((0.5, 0.5, 0.2, 0.4) if centred else (0.4, 0.3, 0.6, 0.7)) * SIDE
    rows[:, 4] = np.linspace(0.04, 0.0, places)
    rows[0, 4] = 0.9
    rows[:, 5] = np.arange(places) % 3
    rows[:, 6:] = DRAW.normal(0, 3, (places, further))
    return rows


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        (chosen_rows(), []),
        (chosen_rows()[None, None], []),
        (chosen_rows()[None, :, :, None], []),
        (chosen_rows(further=32)[None], [Value(np.zeros((1, 40, 40, 32)))]),
        (chosen_rows(further=51)[None], []),
        (chosen_rows(further=1, centred=True)[None], []),
    ],
    ids=["no batch", "one axis more", "another axis more", "masks", "key points", "angle"],
)
def test_rows_that_a_model_chose_are_read_whatever_is_around_them(
    tmp_path: Path, rows: Array, more: list[Value]
) -> None:
    outputs = [Value(rows), *more]
    assert opened(tmp_path, outputs, NAMES).layout.name == "end-to-end"
    found = judged(tmp_path, outputs, NAMES | {"labels.txt": NAMES["labels.txt"]})
    assert found.by_class["animal"] == pytest.approx(0.9)
    box = max(found.detections, key=lambda each: each.conf).bbox
    assert box == pytest.approx((0.4, 0.3, 0.2, 0.4), abs=1e-5)


@pytest.mark.parametrize("files", [{}, NAMES], ids=["without labels", "with labels"])
def test_rows_of_another_kind_are_refused_and_not_taken_for_megadetectors(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """YOLOv7's begin with the picture's number: read as centre, size and three classes, they keep all."""
    ours = chosen_rows(100)
    theirs = np.concatenate([np.zeros((100, 1)), ours[:, :4], ours[:, 5:], ours[:, 4:5]], axis=1)
    for rows in (theirs, theirs[None]):
        with pytest.raises(ModelUnavailable, match="layout that trapd does not know"):
            opened(tmp_path, [Value(rows)], files)


@pytest.mark.parametrize("shape", [(1, 10, 7), (1, 50, 9), (1, 49, 512), (1, 64, 85)])
def test_a_table_of_numbers_of_which_nothing_says_what_they_are_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelUnavailable, match="layout that trapd does not know") as caught:
        opened(tmp_path, [Value(DRAW.normal(0, 4, shape))], {})
    assert caught.value.hint


@pytest.mark.parametrize("count", [1, 2, 3, 36, 80])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_yolo_of_any_number_of_classes_and_type(tmp_path: Path, count: int, planar: bool, dtype: str) -> None:
    raw = np.full((4 + count, GRID), 0.001, np.float32)
    raw[:4] = np.array([0.5, 0.5, 0.2, 0.4])[:, None]
    raw[4, 7] = 0.9
    labels = {"labels.txt": "\n".join(["fox", *(f"deer {number}" for number in range(count - 1))])}
    quantised = {"float32": (0.0, 0), "uint8": (1 / 255, 0), "int8": (1 / 255, -128)}[dtype]
    shape = (1, 3, SIDE, SIDE) if planar else (1, SIDE, SIDE, 3)
    options = {"shape": shape, "dtype": dtype, "scale": quantised[0], "zero_point": quantised[1]}
    found = judged(tmp_path, [Value(raw[None], dtype, *quantised)], labels, **options)
    assert found.by_class["animal"] == pytest.approx(0.9, abs=0.01)
    (box,) = found.detections
    assert box.bbox == pytest.approx((0.4, 0.3, 0.2, 0.4), abs=0.01)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5), (1, 1, 1, 5), (1, 5, 1, 1)])
@pytest.mark.parametrize(("dtype", "scale", "zero"), [("float32", 0, 0), ("uint8", 1 / 256, 0)])
def test_a_classifiers_row_may_lie_in_any_axis(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, scale: float, zero: int
) -> None:
    values = np.array([0.1, 0.6, 0.1, 0.1, 0.1]).reshape(shape)
    labels = {"labels.txt": "empty\nanimal\nperson\nvehicle\nother\n"}
    found = judged(tmp_path, [Value(values, dtype, scale, zero)], labels)
    assert (found.score, found.by_class["animal"]) == pytest.approx((0.9, 0.6), abs=0.02)


def test_of_logits_and_their_probabilities_the_probabilities_are_read(tmp_path: Path) -> None:
    labels = {"labels.txt": "empty\nanimal\n"}
    logits, probabilities = Value([[-3.0, 4.0]]), Value([[0.2, 0.8]])
    for outputs in ([logits, probabilities], [probabilities, logits]):
        assert judged(tmp_path, outputs, labels).score == pytest.approx(0.8)


@pytest.mark.parametrize("count", [(1,), (1, 1), ()])
@pytest.mark.parametrize("places", [2, 10, 100])
def test_ssd_of_any_number_of_boxes_and_form_of_count(
    tmp_path: Path, places: int, count: tuple[int, ...]
) -> None:
    found = judged(tmp_path, ssd(places, count), {"labelmap.txt": NAMES["labels.txt"]})
    assert found.by_class["animal"] == pytest.approx(0.8)


def test_ssd_of_a_single_box_that_cannot_be_told_is_refused_and_not_read_wrongly(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be told from its class") as caught:
        opened(tmp_path, ssd(1, (1, 1)), {"labelmap.txt": NAMES["labels.txt"]})
    assert "max_detections" in (caught.value.hint or "")


def ssd(places: int, count: tuple[int, ...]) -> list[Value]:
    boxes = np.tile(np.array([0.1, 0.2, 0.5, 0.6]), (1, places, 1))
    scores = np.linspace(0.8, 0.01, places)[None]
    classes = (np.arange(places) % 3)[None]
    return [Value(boxes), Value(classes), Value(scores), Value(np.full(count, float(places)))]


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (2, 64, 64, 3)},
        {"shape": (1, 1, 64, 64, 3)},
        {"shape": (64, 64, 3)},
        {"shape": (1, 64, 64, 1)},
        {"shape": (1, 64, 64, 4)},
        {"dtype": "int32"},
        {"inputs": 2},
        {"shape": (1, 8, 8, 3)},
    ],
)
def test_an_input_that_is_no_picture_is_refused_with_what_to_do(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ModelUnavailable, match="the model takes") as caught:
        opened(tmp_path, [Value([[0.1, 0.9]])], {}, **options)
    assert "export it" in (caught.value.hint or "")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("scales", [(), (1 / 128, 1 / 256, 1 / 64)], ids=["no scale", "one a channel"])
def test_whole_numbers_of_which_nothing_says_what_they_stand_for_are_refused(
    tmp_path: Path, dtype: str, scales: tuple[float, ...]
) -> None:
    """As logits they would be a score: 0 or 1, whatever the picture."""
    row = Value(np.array([[100, 20, 7]]), dtype=dtype, scales=scales)
    with pytest.raises(ModelUnavailable, match="no scale of its own") as refused:
        opened(tmp_path, [row], {"labels.txt": "empty\nanimal\nperson\n"})
    assert "float outputs" in refused.value.hint


def test_a_yolos_bytes_without_a_scale_are_refused(tmp_path: Path) -> None:
    table = Value(np.full((1, 7, GRID), 50), dtype="int8")
    with pytest.raises(ModelUnavailable, match="no scale of its own"):
        opened(tmp_path, [table], NAMES)


def test_ssd_classes_may_be_whole_numbers_as_they_are(tmp_path: Path) -> None:
    boxes = Value(np.tile((0.1, 0.1, 0.5, 0.5), (1, 10, 1)))
    scores, classes = Value(np.linspace(0.9, 0.1, 10)[None]), Value(np.full((1, 10), 2), dtype="int32")
    score = judged(tmp_path, [boxes, classes, scores, Value([10.0])], NAMES)
    assert score.detections[0].category == "vehicle"
