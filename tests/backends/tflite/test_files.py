"""Whole model files through the real interpreter: what they are fed, how they are read, which are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.backends.pictures_made import jpeg_of
from tests.fakes.tflite_file import Made, Value, described, write
from trapd.backends.pictures import small_of
from trapd.backends.tflite.model import Model
from trapd.errors import ModelUnavailable

LABELS = {"labels.txt": "empty\nanimal\n"}
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

# p(animal) is a half, and a quarter of what the model sees: its input can be read from its answer.
SEES = [Value([[0.5, 0.5]], gain=[[-0.25, 0.25]])]


def picture(colour: tuple[int, int, int] = WHITE, size: tuple[int, int] = (64, 64)) -> bytes:
    return jpeg_of(Image.new("RGB", size, colour), quality=100)


def seen(path: Path, data: bytes) -> float:
    """The mean of what the model is fed, in its own numbers; the same as a frame and as a photograph."""
    model = Model(path, threads=1)
    found = (model.judge(data).by_class["animal"] - 0.5) * 4
    small, _, _ = small_of(data, (64, 64))
    assert (model.judge(small).by_class["animal"] - 0.5) * 4 == pytest.approx(found, abs=0.03)
    return found


def ultralytics(names: list[str], **more: object) -> str:
    return json.dumps({"task": "detect", "stride": 32, "names": dict(enumerate(names)), **more})


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (1, 3, 32, 32), (1, 3, 32, 48), (1, 24, 48, 3)])
@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "black", "white"),
    [
        ("float32", 0.0, 0, 0.0, 1.0),
        ("uint8", 1 / 255, 0, 0.0, 1.0),
        ("int8", 1 / 255, -128, 0.0, 1.0),
        ("uint8", 1 / 127.5, 128, -1.0, 1.0),
        ("int8", 1 / 127.5, -1, -1.0, 1.0),
    ],
)
def test_every_type_and_order_of_input_gets_the_picture(
    tmp_path: Path,
    shape: tuple[int, ...],
    dtype: str,
    scale: float,
    zero_point: int,
    black: float,
    white: float,
) -> None:
    path = write(
        tmp_path / "made.tflite",
        Made(shape, dtype, scale, zero_point, outputs=SEES, files=dict(LABELS)),
    )
    assert seen(path, picture(BLACK)) == pytest.approx(black, abs=0.02)
    assert seen(path, picture(WHITE)) == pytest.approx(white, abs=0.02)


@pytest.mark.parametrize(
    ("pixels", "black", "white"),
    [
        ("0..1", 0.0, 1.0),
        ("-1..1", -1.0, 1.0),
        ("0..255", 0.0, 255.0),
        ("imagenet", (-2.118 - 2.036 - 1.804) / 3, (2.249 + 2.429 + 2.640) / 3),
        ({"mean": [127.5], "std": [63.75]}, -2.0, 2.0),
        ({"mean": [0, 255, 255], "std": [255]}, -2 / 3, 1 / 3),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_users_card_says_what_the_numbers_are(
    tmp_path: Path, pixels: object, black: float, white: float, dtype: str
) -> None:
    span = max(abs(black), abs(white))
    outputs = [Value([[0.5, 0.5]], gain=[[-0.25 / span, 0.25 / span]])]
    made = Made(dtype=dtype, outputs=outputs)
    if dtype == "int8":
        made.scale, made.zero_point = 2.2 * max(span, 3) / 255, 0
    write(tmp_path / "made.tflite", made)
    card = tmp_path / "made.labels.json"
    card.write_text(json.dumps({"labels": ["empty", "animal"], "pixels": pixels}), "utf-8")
    model = Model(tmp_path / "made.tflite", threads=1, labels=card)
    for colour, wanted in ((BLACK, black), (WHITE, white)):
        found = (model.judge(picture(colour)).by_class["animal"] - 0.5) * 4 * span
        assert found == pytest.approx(wanted, abs=0.05 * max(span, 3))


def test_metadata_says_how_floats_are_normalised(tmp_path: Path) -> None:
    metadata = described(label_files=["any.txt"], mean=[100.0], std=[50.0])
    files: dict[str, str | bytes] = {"any.txt": "empty\nanimal\n"}
    outputs = [Value([[0.5, 0.5]], gain=[[-0.1, 0.1]])]
    path = write(tmp_path / "made.tflite", Made(outputs=outputs, metadata=metadata, files=files))
    model = Model(path, threads=1)
    assert model.pixels == "(byte - 100) / 50"
    assert model.judge(picture(BLACK)).by_class["animal"] == pytest.approx(0.3, abs=0.01)


def test_a_quantised_input_of_imagenets_range_gets_its_mean_and_deviation(tmp_path: Path) -> None:
    made = Made(
        dtype="uint8",
        scale=0.0186,
        zero_point=114,
        outputs=[Value([[0.5, 0.5]], gain=[[-0.1, 0.1]])],
        files=dict(LABELS),
    )
    model = Model(write(tmp_path / "made.tflite", made), threads=1)
    assert model.pixels == "imagenet"
    assert model.judge(picture(WHITE)).by_class["animal"] == pytest.approx(0.5 + 0.244, abs=0.01)


def test_an_assumed_range_is_said_to_be_assumed(tmp_path: Path) -> None:
    model = Model(write(tmp_path / "made.tflite", Made(outputs=SEES, files=dict(LABELS))), threads=1)
    assert model.pixels == "0..1 (assumed)"


@pytest.mark.parametrize(
    ("fit", "edge", "middle"), [("stretch", 1.0, 1.0), ("letterbox", 114 / 255, 1.0), ("crop", 1.0, 1.0)]
)
@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (1, 3, 32, 32)])
def test_a_picture_is_stretched_letterboxed_or_cropped(
    tmp_path: Path, fit: str, edge: float, middle: float, shape: tuple[int, ...]
) -> None:
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"labels": ["empty", "animal"], "fit": fit}), "utf-8")
    for window, wanted in (((0, 6, 0, 32), edge), ((12, 20, 0, 32), middle)):
        path = write(tmp_path / "made.tflite", Made(shape, outputs=SEES, window=window))
        model = Model(path, threads=1, labels=card)
        wide = picture(WHITE, (128, 64))
        for given in (wide, small_of(wide, (128, 64))[0]):
            found = (model.judge(given).by_class["animal"] - 0.5) * 4
            assert found == pytest.approx(wanted, abs=0.02)


def test_what_is_cropped_away_is_not_seen(tmp_path: Path) -> None:
    image = Image.new("RGB", (256, 64), BLACK)
    image.paste(WHITE, (0, 0, 64, 64))
    card = tmp_path / "card.json"
    for fit, wanted in (("stretch", 0.25), ("crop", 0.0)):
        card.write_text(json.dumps({"labels": ["empty", "animal"], "fit": fit}), "utf-8")
        model = Model(write(tmp_path / "made.tflite", Made(outputs=SEES)), threads=1, labels=card)
        found = (model.judge(jpeg_of(image, quality=100)).by_class["animal"] - 0.5) * 4
        assert found == pytest.approx(wanted, abs=0.03)


def yolo(box: tuple[float, ...], number: int, classes: int = 80, places: int = 84) -> Value:
    raw = np.zeros((1, 4 + classes, places), np.float32)
    raw[0, :4, :] = np.array([32.0, 32, 4, 4])[:, None]
    raw[0, :4, 7], raw[0, 4 + number, 7] = box, 0.9
    return Value(raw, gain=0.0)


@pytest.mark.parametrize(
    ("size", "wanted"), [((128, 64), (0.25, 0.0, 0.5, 1.0)), ((64, 128), (0, 0.25, 1, 0.5))]
)
def test_boxes_of_a_letterboxed_picture_are_the_pictures_own(
    tmp_path: Path, size: tuple[int, int], wanted: tuple[float, ...]
) -> None:
    names = [f"bench {number}" for number in range(79)] + ["wolf"]
    path = write(
        tmp_path / "made.tflite",
        Made(
            (1, 64, 64, 3), outputs=[yolo((32, 32, 32, 32), 79)], files={"metadata.json": ultralytics(names)}
        ),
    )
    model = Model(path, threads=1)
    assert (model.layout.name, model.fit, model.pixels) == ("yolov8", "letterbox", "0..1")
    (box,) = model.judge(picture(WHITE, size)).detections
    assert box.category == "animal"
    assert box.bbox == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize(
    "files",
    [
        {"labelmap.txt": "empty\nanimal\n"},
        {"labels.txt": "0 empty\n1 animal\n"},
        {"metadata.json": ultralytics(["empty", "animal"])},
        {"temp_meta.txt": "{'stride': 32, 'names': {0: 'empty', 1: 'animal'}}"},
        {"meta.txt": "{'stride': 32, 'names': ['empty', 'animal']}"},
        {"folder/labels.txt": "empty\nanimal"},
    ],
)
def test_labels_come_from_whatever_is_zipped_into_the_file(tmp_path: Path, files: dict[str, str]) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=SEES, files=dict(files)))
    assert Model(path, threads=1).layout.labels == ("empty", "animal")


@pytest.mark.parametrize("name", ["made.txt", "labels.txt", "labelmap.txt"])
def test_labels_come_from_a_file_beside_it_that_is_its_own(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=SEES))
    assert Model(path, threads=1).layout.labels is None
    (tmp_path / name).write_text("empty\nanimal\n", "utf-8")
    assert Model(path, threads=1).layout.labels == ("empty", "animal")
    (tmp_path / "other.tflite").write_bytes(b"")
    assert (Model(path, threads=1).layout.labels is None) is (name != "made.txt")


@pytest.mark.parametrize(
    "text",
    [
        "{'names': {0: 'a', 2: 'b'}}",
        "{'names': {'x': 'a'}}",
        "{'names': None}",
        "{" * 100_000,
        "__import__('os').getcwd()",
        "",
        "\x00",
        "[1, 2]",
    ],
)
def test_a_dictionary_that_is_none_gives_no_labels_and_runs_nothing(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=SEES, files={"temp_meta.txt": text}))
    assert Model(path, threads=1).layout.labels is None


def test_the_users_word_on_a_label_goes_before_what_trapd_knows(tmp_path: Path) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=[Value([[0.1, 0.2, 0.3, 0.4]])]))
    labels = tmp_path / "mine.txt"
    labels.write_text("leaf\nsea slug = animal\ndog = nothing\n* = vehicle\nblob\n", "utf-8")
    model = Model(path, threads=1, labels=labels)
    assert model.layout.labels == ("leaf", "sea slug", "dog", "blob")
    assert model.means == {"nothing": 2, "animal": 1, "vehicle": 1}
    judged = model.judge(picture())
    assert judged.by_class == pytest.approx({"animal": 0.2, "vehicle": 0.4}, abs=1e-5)
    assert judged.score == pytest.approx(0.6, abs=1e-5)


def test_a_card_may_leave_the_labels_to_the_model(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"labels.txt": "empty\nblob\n"}
    path = write(tmp_path / "made.tflite", Made(outputs=SEES, files=files))
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"classes": {"blob": "animal"}, "threshold": 0.3}), "utf-8")
    model = Model(path, threads=1, labels=card)
    assert (model.layout.tells, model.threshold) == ({"animal"}, 0.3)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"label": []}, "'label' is not one of"),
        ({"labels": "empty"}, "list of names"),
        ({"classes": {"a": "beast"}}, "one of animal"),
        ({"pixels": "0..2"}, "pixels"),
        ({"pixels": {"mean": [1]}}, "mean and std"),
        ({"pixels": {"mean": [1], "std": [0]}}, "std"),
        ({"pixels": ["0..1"]}, "pixels"),
        ({"fit": "squeeze"}, "fit"),
        ({"fit": []}, "fit"),
        ({"threshold": 2}, "threshold"),
        ({"threshold": True}, "threshold"),
    ],
)
def test_a_card_with_a_fault_is_refused_and_the_fault_named(
    tmp_path: Path, card: dict[str, object], words: str
) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=SEES, files=dict(LABELS)))
    file = tmp_path / "card.json"
    file.write_text(json.dumps(card), "utf-8")
    with pytest.raises(ModelUnavailable, match=words):
        Model(path, threads=1, labels=file)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Made(outputs=SEES, inputs=2), "not one picture"),
        (Made((1, 32, 32, 1), outputs=SEES), "three colours"),
        (Made((1, 8, 8, 3), outputs=SEES), "not fixed"),
        (Made((4, 32, 32, 3), outputs=SEES), "not one picture"),
        (Made(outputs=[Value([[math.nan, 0.5]])]), "not numbers"),
        (Made(outputs=[Value([[math.inf, 0.5]])]), "not numbers"),
        (Made(outputs=SEES, random=True), "different values for one picture"),
        (Made(outputs=[Value(np.zeros((1, 7, 7, 30)))]), "layout that trapd does not know"),
        (Made(outputs=[Value(np.zeros((2, 2, 2, 2, 2)))]), "layout that trapd does not know"),
        (Made(outputs=[Value([0.5])]), "layout that trapd does not know"),
        (Made(outputs=[Value([[0.5, 0.5]])] * 3), "layout that trapd does not know"),
        (Made(outputs=[Value([[0.5, 0.5]])], files={"labels.txt": "a\nb\nc\n"}), "2 classes, but 3 labels"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, made: Made, words: str) -> None:
    path = write(tmp_path / "made.tflite", made)
    with pytest.raises(ModelUnavailable, match=words) as caught:
        Model(path, threads=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_ssd_files_are_read_in_any_order(tmp_path: Path, dtype: str, order: tuple[int, ...]) -> None:
    values = [
        Value([[[0.1, 0.2, 0.5, 0.6], [-0.01, 0.0, 1.01, 1.0]]]),
        Value([[1.0, 0.0]]),
        Value([[0.75, 0.3]]),
        Value([2.0]),
    ]
    path = write(
        tmp_path / "made.tflite",
        Made(
            dtype=dtype,
            scale=0.0 if dtype == "float32" else 1 / 127.5,
            zero_point={"uint8": 128, "int8": -1}.get(dtype, 0),
            outputs=[values[place] for place in order],
            files={"labelmap.txt": "person\nwolf\n"},
        ),
    )
    model = Model(path, threads=1)
    judged = model.judge(picture(WHITE, (128, 64)))
    assert (model.layout.name, model.fit) == ("ssd", "stretch")
    assert judged.by_class == pytest.approx({"animal": 0.75, "person": 0.3})
    assert judged.detections[0].bbox == pytest.approx((0.2, 0.1, 0.4, 0.4))
    assert judged.detections[1].bbox == pytest.approx((0.0, 0.0, 1.0, 1.0))


def test_int8_probabilities_that_were_rounded_away_are_given_back(tmp_path: Path) -> None:
    names = "\n".join(["background", "tench", *(f"thing {number}" for number in range(999))])
    values = np.zeros((1, 1001), np.float32)
    values[0, 1], values[0, 900] = 0.3, 0.1
    path = write(
        tmp_path / "made.tflite",
        Made(outputs=[Value(values, "int8", 1 / 256, -128)], files={"labels.txt": names}),
    )
    model = Model(path, threads=1)
    judged = model.judge(picture())
    assert judged.by_class["animal"] == pytest.approx(0.75, abs=0.02)
    assert (model.means["empty"], model.means["animal"], model.means["person"]) == (1, 398, 3)


def test_efficientdet_without_post_processing_finds_its_anchors(tmp_path: Path) -> None:
    places = 9 * (64 * 64 // 64 + 64 * 64 // 256 + 4 + 1 + 1)
    boxes, scores = np.zeros((1, places, 4), np.float32), np.zeros((1, places, 2), np.float32)
    scores[0, 9 * 9, 1] = 0.8  # the second row's second cell, of 8 x 8 cells; its square anchor
    path = write(
        tmp_path / "made.tflite",
        Made((1, 64, 64, 3), outputs=[Value(scores), Value(boxes)], files={"labels.txt": "person\nwolf\n"}),
    )
    model = Model(path, threads=1)
    assert model.layout.name == "efficientdet"
    (box,) = model.judge(picture()).detections
    assert (box.category, box.conf) == ("animal", pytest.approx(0.8))
    assert box.bbox == pytest.approx((0.0, 0.0, 1.5 * 8 / 64 + 12 / 64, 1.5 * 8 / 64 + 12 / 64))
