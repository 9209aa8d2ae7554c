"""YOLO in every shape: told apart by labels, grid and values; boxes joined by class; nonsense refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.backends.tflite.boxes import suppressed
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.interpreter import Array, Tensor
from trapd.backends.tflite.layout import Layout, recognise
from trapd.backends.tflite.layouts.yolo import Form, YoloLayout, grid_places
from trapd.backends.tflite.metadata import Metadata
from trapd.errors import ModelUnavailable

COCO = (
    "person bicycle car motorcycle airplane bus train truck boat light hydrant sign meter bench bird cat dog "
    "horse sheep cow elephant bear zebra giraffe"
)
COCO80 = (*COCO.split(), *(f"bench {number}" for number in range(56)))
MD = ("animal", "person", "vehicle")


def facts(
    output: Array,
    labels: tuple[str, ...] | None = None,
    *,
    size: int = 320,
    scale: float = 0.0,
    zero_point: int = 0,
    file: str = "",
) -> ModelFacts:
    picture = Tensor(0, "", (1, size, size, 3), "float32", 0.0, 0)
    tensor = Tensor(1, "", output.shape, output.dtype.name, scale, zero_point)
    return ModelFacts((picture,), (tensor,), Metadata(labels), [[output]], (size, size), file)


def grid(classes: int, places: int, *, objectness: bool = False, size: float = 1.0) -> Array:
    """[channels, places] with small boxes everywhere and hardly any confidence."""
    raw = np.full((classes + (5 if objectness else 4), places), 0.001, np.float32)
    raw[:2] = np.linspace(0.05, 0.95, places) * size
    raw[2:4] = 0.1 * size
    return raw


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 7, 79, 80, 81, 601])
@pytest.mark.parametrize("size", [32, 64, 320, 640])
@pytest.mark.parametrize("labelled", [False, True])
def test_the_grid_and_the_labels_tell_every_number_of_classes(
    classes: int, size: int, labelled: bool
) -> None:
    if classes in (79, 81) and not labelled:
        return  # one channel more or less: taken for COCO's 80, with or without an objectness
    labels = tuple(f"class {number}" for number in range(classes)) if labelled else None
    places = (size // 8) ** 2 + (size // 16) ** 2 + (size // 32) ** 2
    for objectness, anchors in ((False, 1), (True, 3)):
        raw = grid(classes, anchors * places, objectness=objectness, size=size)
        for channels_first in (True, False):
            output = (raw if channels_first else raw.T)[None]
            layout = recognise(facts(output, labels, size=size))
            assert isinstance(layout, YoloLayout)
            assert layout.form == Form(channels_first, objectness, classes)
            assert layout.pixels_of == (size, size)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((1, 84, 8400), ("yolov8", 80)),
        ((1, 8400, 84), ("yolov8", 80)),
        ((1, 25200, 85), ("yolov5", 80)),
        ((1, 8400, 85), ("yolov5", 80)),  # YOLOX: one place a cell, and an objectness
        ((1, 102000, 8), ("yolov5", 3)),  # MegaDetector v5, 1280 pixels, four grids
        ((1, 7, 33600), ("yolov8", 3)),  # MegaDetector v6
        ((1, 300, 7), ("yolov8", 3)),  # the same as RT-DETR
        ((1, 300, 84), ("yolov8", 80)),
        ((1, 5, 8400), ("yolov8", 1)),
        ((1, 6, 8400), ("yolov8", 2)),
        ((1, 8400, 6), ("yolov8", 2)),
        ((1, 25200, 6), ("yolov5", 1)),
        ((1, 300, 6), ("end-to-end", 0)),
        ((1, 6, 300), ("end-to-end", 0)),
        ((1, 1, 84, 8400), ("yolov8", 80)),
        ((1, 84, 8400, 1), ("yolov8", 80)),
        ((84, 8400), ("yolov8", 80)),
    ],
)
def test_real_shapes_are_told_without_labels(shape: tuple[int, ...], wanted: tuple[str, int]) -> None:
    size = 1280 if max(shape) in (102000, 33600) else 640
    layout = recognise(facts(np.zeros(shape, np.float32), size=size))
    assert (layout.name, layout.form.classes if isinstance(layout, YoloLayout) else 0) == wanted


def test_three_classes_without_labels_are_megadetectors() -> None:
    layout = recognise(facts(np.zeros((1, 6300, 8), np.float32)))
    assert (layout.labels, layout.tells) == (MD, frozenset(MD))
    assert "MegaDetector" in layout.note
    other = recognise(facts(np.zeros((1, 6300, 8), np.float32), ("fox", "boar", "deer")))
    assert (other.tells, other.note) == ({"animal"}, "")


def test_end_to_end_megadetector_is_known_by_its_files_name() -> None:
    output = np.zeros((1, 300, 6), np.float32)
    assert recognise(facts(output, file="MDV6-yolov10-c.tflite")).labels == MD
    assert recognise(facts(output, file="mine.tflite")).labels is None


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(ModelUnavailable, match="80 classes, but 70 labels"):
        recognise(facts(np.zeros((1, 84, 2100), np.float32), COCO80[:70]))
    with pytest.raises(ModelUnavailable, match="class 7, but has 2 labels"):
        output = np.zeros((1, 300, 6), np.float32)
        output[0, 0, 5] = 7
        recognise(facts(output, ("cat", "dog")))


def coco(output: Array, **options: float) -> Layout:
    return recognise(facts(output, COCO80, **options))  # type: ignore[arg-type]  # a scale and a zero point


def test_each_form_gives_the_same_score_and_box() -> None:
    for objectness in (False, True):
        for size in (1, 320):
            raw = grid(80, 6300 if objectness else 2100, objectness=objectness, size=size)
            raw[:4, 700] = np.array([0.5, 0.4, 0.2, 0.4]) * size
            raw[(5 if objectness else 4) + 16, 700] = 0.8
            if objectness:
                raw[4, 700] = 0.5
            for output in (raw[None], raw.T[None]):
                judged = coco(output).decode([output])
                assert judged.score == pytest.approx(0.4 if objectness else 0.8)
                assert judged.detections[0].category == "animal"
                assert judged.detections[0].bbox == pytest.approx((0.4, 0.2, 0.2, 0.4), abs=1e-6)


def test_int8_outputs_are_read_by_their_scale() -> None:
    real = grid(80, 2100)
    real[4 + 16, 700] = 0.8
    output = np.clip(np.rint(real / 0.004) - 128, -128, 127).astype(np.int8)[None]
    layout = coco(output, scale=0.004, zero_point=-128)
    assert layout.decode([output]).by_class["animal"] == pytest.approx(0.8, abs=0.002)


def test_logits_are_made_confidences() -> None:
    raw = grid(80, 2100)
    raw[4:] = -9
    raw[4 + 16, 700] = 2.0
    layout = coco(raw[None])
    assert layout.decode([raw[None]]).by_class["animal"] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)


def test_classes_that_count_for_nothing_hide_nothing_and_give_no_box() -> None:
    raw = grid(80, 2100)
    raw[4 + 13, 700] = 0.9  # a bench
    raw[4 + 16, 700] = 0.3  # and perhaps a dog on it
    judged = coco(raw[None]).decode([raw[None]])
    assert (judged.score, judged.by_class) == (pytest.approx(0.3), {"animal": pytest.approx(0.3)})


def test_a_class_that_nobody_knows_is_something_and_speaks_for_the_frame() -> None:
    raw = grid(2, 2100)
    layout = recognise(facts(raw[None], ("person", "sea slug")))
    assert layout.tells == {"person"}
    raw[4, 10], raw[5, 20] = 0.6, 0.7
    judged = layout.decode([raw[None]])
    assert (judged.score, judged.by_class) == (pytest.approx(0.7), {})
    raw[5, 20] = 0.5
    judged = layout.decode([raw[None]])
    assert judged.by_class == {"person": pytest.approx(0.6)}
    assert {box.category for box in judged.detections} == {"person", "unclassified"}


def test_boxes_are_joined_within_their_class_only() -> None:
    corners = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 0.9], [0.8, 0.8, 1, 1]], np.float32)
    assert suppressed(corners, np.array([0, 0, 1, 0])) == [0, 2, 3]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("channel", [0, 3, 4, 20, 83])
def test_nan_anywhere_is_refused_even_in_classes_that_do_not_count(bad: float, channel: int) -> None:
    raw = grid(80, 2100)
    layout = coco(raw[None])
    raw[channel, 5] = bad
    with pytest.raises(ValueError, match=r"."):
        layout.decode([raw[None]])


def test_confidences_beyond_one_are_refused() -> None:
    raw = grid(80, 2100)
    layout = coco(raw[None])
    raw[20, 5] = 7.0
    with pytest.raises(ValueError, match="confidence"):
        layout.decode([raw[None]])


def rows(*found: tuple[float, ...], places: int = 300) -> Array:
    output = np.zeros((1, places, 6), np.float32)
    for place, row in enumerate(found):
        output[0, place] = row
    return output


@pytest.mark.parametrize("turned", [False, True])
def test_end_to_end_boxes_are_in_pixels_or_relative(turned: bool) -> None:
    def given(output: Array) -> Array:
        return np.ascontiguousarray(output.transpose(0, 2, 1)) if turned else output

    layout = coco(given(rows()))
    assert layout.name == "end-to-end"
    for unit in (1.0, 320.0):
        output = given(rows((0.1 * unit, 0.2 * unit, 0.5 * unit, 0.6 * unit, 0.9, 16.0)))
        (box,) = layout.decode([output]).detections
        assert box.bbox == pytest.approx((0.1, 0.2, 0.4, 0.4), abs=1e-6)
        assert (box.category, box.conf) == ("animal", pytest.approx(0.9))


def test_end_to_end_rows_may_be_empty_and_may_hold_things() -> None:
    layout = coco(rows())
    assert layout.decode([rows()]).score == 0.0
    assert layout.decode([rows((0, 0, 1, 1, 0.9, 13.0), (0, 0, 1, 1, 0.4, -1.0))]).score == 0.0
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not a number"):
            layout.decode([rows((0, 0, bad, 1, 0.9, 16.0))])
        with pytest.raises(ValueError, match="not a number"):
            layout.decode([rows((0, 0, 1, 1, 0.9, bad))])


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 50), st.sampled_from([6, 7, 8, 84, 85]))
def test_any_finite_numbers_give_a_score_within_bounds_or_a_sentence(
    seed: int, spread: float, channels: int
) -> None:
    draw = np.random.default_rng(seed)
    output = draw.normal(0, spread, (1, 315, channels)).astype(np.float32)
    try:
        layout = recognise(facts(output, size=120))
        judged = layout.decode([draw.normal(0, spread, (1, 315, channels)).astype(np.float32)])
    except (ModelUnavailable, ValueError) as error:
        assert str(error)
        return
    assert 0 <= judged.score <= 1
    for box in judged.detections:
        x, y, width, height = box.bbox
        assert 0 <= x < x + width <= 1 + 1e-9
        assert 0 <= y < y + height <= 1 + 1e-9


def test_grids_of_inputs_that_are_not_square() -> None:
    assert 80 * 48 + 40 * 24 + 20 * 12 in grid_places((640, 384), 1)
    assert 3 * (160**2 + 80**2 + 40**2 + 20**2) in grid_places((1280, 1280), 3)
