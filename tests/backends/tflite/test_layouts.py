"""Outputs of each layout, told apart and read; values that are no score are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.backends.tflite.card import Card
from trapd.backends.tflite.facts import ModelFacts
from trapd.backends.tflite.interpreter import Array, Tensor
from trapd.backends.tflite.labels import meaning, parse_labels, told
from trapd.backends.tflite.layout import Layout, recognise, require_picture_input
from trapd.backends.tflite.layouts.ssd import SsdLayout
from trapd.backends.tflite.layouts.trapd import hot_box
from trapd.backends.tflite.metadata import Metadata
from trapd.errors import ModelUnavailable

COCO = ("person", "bicycle", "car", "???", "bird", "bench")


def tensor(*shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(0, "", shape, dtype, 0.0, 0)


def facts(outputs: list[Array], metadata: Metadata, samples: list[list[Array]] | None = None) -> ModelFacts:
    return ModelFacts(
        (tensor(1, 320, 320, 3),),
        tuple(tensor(*output.shape) for output in outputs),
        metadata,
        samples or [outputs],
        (320, 320),
    )


def trapd_outputs(empty: float, heat: Array | None = None) -> list[Array]:
    rest = (1 - empty) / 3
    return [
        np.array([[empty, rest, rest, rest]], np.float32),
        np.zeros((1, 1280), np.float32),
        np.full((1, 10, 10), -4.0, np.float32) if heat is None else heat[None].astype(np.float32),
    ]


def trapd_layout() -> Layout:
    card = Card("x", ("empty", "animal", "person", "vehicle"), 0.35)
    return recognise(facts(trapd_outputs(0.5), Metadata(None, card)))


def ssd_outputs(found: list[tuple[float, float, tuple[float, float, float, float]]]) -> list[Array]:
    """Boxes, classes, scores, count, as TensorFlow 1 orders them."""
    boxes, classes, scores = np.zeros((1, 10, 4)), np.zeros((1, 10)), np.zeros((1, 10))
    for place, (score, number, box) in enumerate(found):
        boxes[0, place], classes[0, place], scores[0, place] = box, number, score
    return [boxes, classes, scores, np.array([float(len(found))])]


SAMPLE = [(0.7, 2.0, (0.1, 0.2, 0.5, 0.6)), (0.61, 4.0, (0.0, 0.0, 1.0, 1.0))]


def ssd_layout(labels: tuple[str, ...] | None = COCO) -> Layout:
    return recognise(facts(ssd_outputs(SAMPLE), Metadata(labels)))


def test_trapds_own_score_is_one_less_empty() -> None:
    layout = trapd_layout()
    assert (layout.name, layout.threshold, layout.tells) == ("trapd", 0.35, frozenset())
    judged = layout.decode(trapd_outputs(0.2))
    assert judged.score == pytest.approx(0.8)
    assert judged.by_class == {}
    (box,) = judged.detections
    assert (box.category, box.conf) == ("unclassified", judged.score)
    assert layout.decode(trapd_outputs(0.97)).detections == ()


def test_trapds_own_outputs_are_told_apart_by_shape() -> None:
    card = Card("x", ("empty", "animal", "person", "vehicle"), 0.35)
    wanted = trapd_layout().decode(trapd_outputs(0.2))
    for order in permutations(range(3)):
        outputs = [trapd_outputs(0.2)[place] for place in order]
        assert recognise(facts(outputs, Metadata(None, card))).decode(outputs) == wanted
    with pytest.raises(ModelUnavailable, match=r"trapd\.json"):
        recognise(facts(trapd_outputs(0.2)[:2], Metadata(None, card)))


def test_the_box_holds_the_cells_joined_to_the_hottest_one() -> None:
    heat = np.full((10, 10), -5.0)
    heat[3:5, 6:9] = 2.0
    heat[4, 7] = 4.0
    heat[0, 0] = 3.9  # as hot, but not joined
    assert hot_box(heat.tolist()) == pytest.approx((0.6, 0.3, 0.3, 0.2))
    heat[5, 9] = 3.0  # joined by its corner only
    assert hot_box(heat.tolist()) == pytest.approx((0.6, 0.3, 0.3, 0.2))


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_any_heat_gives_a_box_within_the_picture(rows: int, columns: int, data: st.DataObject) -> None:
    cell = st.floats(-80, 80, width=32)
    heat = data.draw(
        st.lists(st.lists(cell, min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    )
    x, y, width, height = hot_box(heat)
    assert 0 <= x < x + width <= 1 + 1e-9
    assert 0 <= y < y + height <= 1 + 1e-9


def test_ssd_outputs_are_told_apart_in_any_order() -> None:
    wanted = ssd_layout().decode(ssd_outputs(SAMPLE))
    assert wanted.by_class == {"vehicle": 0.7, "animal": 0.61}
    assert wanted.score == 0.7
    assert wanted.detections[0].bbox == pytest.approx((0.2, 0.1, 0.4, 0.4))
    for order in permutations(range(4)):
        outputs = [ssd_outputs(SAMPLE)[place] for place in order]
        assert recognise(facts(outputs, Metadata(COCO))).decode(outputs) == wanted


def test_ssd_classes_that_are_no_animal_person_or_vehicle_count_for_nothing() -> None:
    judged = ssd_layout().decode(ssd_outputs([(0.9, 5.0, (0, 0, 1, 1)), (0.8, 3.0, (0, 0, 1, 1))]))
    assert (judged.score, judged.by_class, judged.detections) == (0.0, {}, ())


def test_ssd_boxes_are_clipped_to_the_picture() -> None:
    outside = [
        (0.9, 0.0, (-0.02, -0.1, 1.01, 1.2)),
        (0.8, 0.0, (0.5, 0.5, 0.4, 0.6)),
        (0.01, 4.0, (0, 0, 1, 1)),
    ]
    judged = ssd_layout().decode(ssd_outputs(outside))
    assert [box.bbox for box in judged.detections] == [(0.0, 0.0, 1.0, 1.0)]


def test_ssd_labels_may_begin_with_the_background() -> None:
    layout = ssd_layout(("???", *COCO))
    assert isinstance(layout, SsdLayout)
    assert layout.labels == COCO


def test_ssd_without_labels_is_recognised_and_tells_nothing() -> None:
    layout = ssd_layout(None)
    assert (layout.labels, layout.tells) == (None, frozenset())
    judged = layout.decode(ssd_outputs(SAMPLE))
    assert (judged.score, judged.by_class) == (0.7, {})


def test_ssd_whose_scores_cannot_be_told_from_classes_is_refused() -> None:
    boxes, classes, scores, count = ssd_outputs([(1.0, 1.0, (0, 0, 1, 1))])
    with pytest.raises(ModelUnavailable, match="cannot be told"):
        recognise(facts([boxes, classes, scores, count], Metadata(COCO)))


def test_ssd_that_finds_nothing_is_told_by_the_names_of_its_outputs_or_the_usual_order() -> None:
    wanted = ssd_layout().decode(ssd_outputs(SAMPLE))
    assert recognise(facts(ssd_outputs([]), Metadata(COCO))).decode(ssd_outputs(SAMPLE)) == wanted
    names = ("boxes", "category", "score", "count")
    for order in permutations(range(4)):
        empty = [ssd_outputs([])[place] for place in order]
        found = facts(empty, Metadata(COCO))
        found = replace(
            found,
            outputs=tuple(
                replace(one, name=names[place]) for one, place in zip(found.outputs, order, strict=True)
            ),
        )
        assert recognise(found).decode([ssd_outputs(SAMPLE)[place] for place in order]) == wanted


@pytest.mark.parametrize("places", [1, 4, 100])
def test_ssd_may_have_any_number_of_places(places: int) -> None:
    boxes, classes, scores = np.zeros((1, places, 4)), np.full((1, places), 4.0), np.full((1, places), 0.25)
    outputs = [boxes, classes, scores, np.array([float(places)])]
    judged = recognise(facts(outputs, Metadata(COCO))).decode(outputs)
    assert judged.by_class == {"animal": 0.25}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.5, 7.0])
def test_an_ssd_confidence_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"."):
        ssd_layout().decode(ssd_outputs([(bad, 0.0, (0, 0, 1, 1))]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_anywhere_is_refused(bad: float) -> None:
    for place in range(4):
        outputs = ssd_outputs(SAMPLE)
        outputs[place].flat[0] = bad
        with pytest.raises((ValueError, OverflowError)):
            ssd_layout().decode(outputs)
    for place in (0, 2):
        outputs = trapd_outputs(0.2)
        outputs[place].flat[1] = bad
        with pytest.raises(ValueError, match=r"."):
            trapd_layout().decode(outputs)


def classifier(values: list[float], labels: tuple[str, ...] | None, samples: list[list[float]]) -> Layout:
    return recognise(
        facts([np.array([values])], Metadata(labels), [[np.array([sample])] for sample in samples])
    )


LABELS = ("fox", "Empty", "human", "dog", "cat")


def test_a_plain_classifier_scores_one_less_empty() -> None:
    layout = classifier([0.2] * 5, LABELS, [[0.2] * 5])
    assert (layout.name, layout.threshold, layout.tells) == ("classifier", 0.5, {"person", "animal"})
    judged = layout.decode([np.array([[0.1, 0.3, 0.2, 0.25, 0.15]])])
    assert judged.score == pytest.approx(0.7)
    assert judged.by_class == pytest.approx({"animal": 0.5, "person": 0.2})


def test_logits_are_known_by_the_self_test_and_made_probabilities() -> None:
    layout = classifier([0.0] * 5, LABELS, [[3.0, -2.0, 0.5, 0.1, 0.2]])
    judged = layout.decode([np.array([[0.0, 900.0, 0.0, 0.0, 0.0]])])
    assert judged.score == pytest.approx(0.0)
    assert layout.decode([np.array([[0.0] * 5])]).score == pytest.approx(0.8)


def test_a_plain_classifier_without_labels_is_recognised_and_tells_nothing() -> None:
    layout = classifier([0.2] * 5, None, [[0.2] * 5])
    assert (layout.labels, layout.tells) == (None, frozenset())


def test_a_classifier_without_an_empty_class_keeps_everything_and_says_so() -> None:
    layout = classifier([0.2] * 5, ("a", "b", "fox", "d", "e"), [[0.2] * 5])
    assert "keeps everything" in layout.note
    judged = layout.decode([np.array([[0.1, 0.1, 0.6, 0.1, 0.1]])])
    assert (judged.score, judged.by_class) == (1.0, {"animal": pytest.approx(0.6)})


def test_probabilities_of_each_class_alone_are_not_added_up() -> None:
    layout = classifier([0.2] * 5, LABELS, [[0.9, 0.1, 0.8, 0.9, 0.9]])
    judged = layout.decode([np.array([[0.5, 0.3, 0.2, 0.4, 0.6]])])
    assert judged.by_class == {"animal": 0.6, "person": 0.2}
    assert judged.score == 0.7


@pytest.mark.parametrize(
    ("labels", "words"),
    [(LABELS[:4], "5 classes, but 4 labels"), (("empty", "tree", "rock", "grass", "???"), "an animal")],
)
def test_labels_that_cannot_be_are_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(ModelUnavailable, match=words):
        classifier([0.2] * 5, labels, [[0.2] * 5])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7, 7, 3), (1, 0, 6), (1, 4, 100), (2, 84, 8400), (1,)])
def test_an_unknown_layout_is_named_by_its_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelUnavailable, match=r"layout that trapd does not know") as caught:
        recognise(facts([np.zeros(shape)], Metadata()))
    assert str(list(shape)) in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((tensor(1, 320, 320, 1),), "three colours"),
        ((tensor(1, 320, 320, 3), tensor(1, 4)), "not one picture"),
        ((tensor(2, 320, 320, 3),), "not one picture"),
        ((tensor(1, 1, 1, 3),), "not fixed"),
        ((tensor(1, 320, 320, 3, dtype="int32"),), "only uint8"),
        ((), "not one picture"),
    ],
)
def test_an_input_that_is_no_picture_is_refused(inputs: tuple[Tensor, ...], words: str) -> None:
    with pytest.raises(ModelUnavailable, match=words):
        require_picture_input(inputs)


def test_an_input_may_be_wider_than_high() -> None:
    assert require_picture_input((tensor(1, 240, 320, 3, dtype="uint8"),)) == (320, 240)
    assert require_picture_input((tensor(1, 3, 240, 320, dtype="uint8"),)) == (320, 240)


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("Animal", "animal"),
        (" giraffe ", "animal"),
        ("person", "person"),
        ("No animal", "empty"),
        ("blank", "empty"),
        ("truck", "vehicle"),
        ("potted plant", "nothing"),
        ("", "nothing"),
        ("sea slug", None),
    ],
)
def test_what_a_label_means(label: str, wanted: str | None) -> None:
    assert meaning(label) == wanted


def test_label_files_have_a_label_a_line_with_or_without_its_number() -> None:
    assert parse_labels("person\n\ncar \n\n") == ("person", "", "car")
    assert parse_labels("0  person\n2  car\n") == ("person", "", "car")
    assert parse_labels("0: person\n1: potted plant\n") == ("person", "potted plant")
    assert parse_labels("0,person\n2,sloth bear, Melursus ursinus\n") == (
        "person",
        "",
        "sloth bear, Melursus ursinus",
    )
    assert told(parse_labels("person\nsofa\n")) == {"person"}
    for text in ("", "\n\n", "1 a\n1 b\n", "99999999 a\n"):
        with pytest.raises(ValueError, match=r"."):
            parse_labels(text)


@given(st.text(max_size=60))
def test_any_text_gives_labels_or_a_sentence(text: str) -> None:
    try:
        assert parse_labels(text)
    except ValueError as error:
        assert str(error)
