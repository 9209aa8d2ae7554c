"""What every Classifier promises, run over each runtime that this environment has, and over the fake.

Imports nothing that the small environment of tflite-runtime lacks (no pydantic, click, paho or LiteRT).
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes.classifier import FakeClassifier
from trapd.backends import model_files
from trapd.backends.pictures import small_of
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.errors import BadPicture, ModelUnavailable
from trapd.ports import Classifier
from trapd.records import Small

RUNTIMES = {"litert": "ai_edge_litert", "tflite_runtime": "tflite_runtime"}
ONLY = os.environ.get("TRAPD_TEST_RUNTIME", "").replace("-", "_")
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "images"


def runtimes() -> list[str]:
    """The runtimes to try: those installed, or the one that the run is for."""
    if ONLY:
        return [ONLY]
    return [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module) is not None]


def picture(seed: int, width: int = 640, height: int = 360) -> bytes:
    """A JPEG with large blobs of colour: nothing in it, but nothing flat either."""
    draw = np.random.default_rng(seed)
    blobs = draw.integers(0, 255, (9, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


def default_model(runtime: str, threads: int = 2) -> TfliteClassifier:
    return TfliteClassifier(
        model_files.find("default", None), name="default", threads=threads, runtime=runtime
    )


@pytest.fixture(params=["fake", *runtimes()])
def classifier(request: pytest.FixtureRequest) -> Iterator[Classifier]:
    made: Classifier = FakeClassifier(0.5) if request.param == "fake" else default_model(request.param)
    yield made
    made.close()


@pytest.fixture(params=runtimes())
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_opening_says_what_the_model_is(classifier: Classifier) -> None:
    info = classifier.open()
    assert info.name
    assert len(info.sha256) == 64
    assert 0 < info.threshold < 1
    assert info.tells <= {"animal", "person", "vehicle"}


def test_scores_are_finite_in_range_and_the_same_each_time(classifier: Classifier) -> None:
    classifier.open()
    for seed in range(3):
        first, second = classifier.judge(picture(seed)), classifier.judge(picture(seed))
        assert first == second
        assert 0 <= first.score <= 1
        for box in first.detections:
            assert all(0 <= value <= 1 for value in box.bbox)
            assert 0 <= box.conf <= 1


def test_a_small_frame_and_its_photograph_score_alike(classifier: Classifier) -> None:
    classifier.open()
    for seed in range(3):
        jpeg = picture(seed)
        small, width, height = small_of(jpeg, (640, 360))
        assert (width, height) == (640, 360)
        assert classifier.judge(small).score == pytest.approx(classifier.judge(jpeg).score, abs=0.15)


def test_frames_that_were_prepared_score_as_they_do_without_in_any_order(classifier: Classifier) -> None:
    classifier.open()
    frames = [small_of(picture(seed), (640, 360))[0] for seed in range(5)]
    alone = [classifier.judge(frame) for frame in frames]
    for order in ((0, 1, 2, 3, 4), (0, 4, 1, 2, 2), (2, 0, 1), (3, 3)):
        classifier.prepare(frames[:3])
        assert [classifier.judge(frames[at]) for at in order] == [alone[at] for at in order]
    classifier.prepare([replace(frames[0], data=b""), frames[1]])
    with pytest.raises(BadPicture):
        raise_if_fake(classifier, replace(frames[0], data=b""))
    assert classifier.judge(frames[1]) == alone[1]


def raise_if_fake(classifier: Classifier, frame: Small) -> None:
    """The fake does not look at frames."""
    if isinstance(classifier, FakeClassifier):
        raise BadPicture("the frame has 0 bytes")
    classifier.judge(frame)


@pytest.mark.parametrize("data", [b"", b"not a picture at all", b"\xff\xd8\xff\xe0 not really"])
def test_a_damaged_picture_is_named_and_the_next_one_is_judged(classifier: Classifier, data: bytes) -> None:
    classifier.open()
    if isinstance(classifier, FakeClassifier) and data.startswith(b"\xff\xd8"):
        data = b"the fake looks at the first two bytes only"
    with pytest.raises(BadPicture):
        classifier.judge(data)
    assert 0 <= classifier.judge(picture(1)).score <= 1


def test_a_closed_classifier_judges_nothing_and_can_be_opened_again(classifier: Classifier) -> None:
    classifier.open()
    classifier.close()
    classifier.close()
    with pytest.raises(ModelUnavailable):
        classifier.judge(picture(1))
    classifier.open()
    assert 0 <= classifier.judge(picture(1)).score <= 1


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_the_number_of_threads_changes_nothing_but_time(runtime: str, threads: int) -> None:
    classifier = default_model(runtime, threads)
    classifier.open()
    one = default_model(runtime, 1)
    one.open()
    assert classifier.judge(picture(2)).score == pytest.approx(one.judge(picture(2)).score, abs=0.02)


def test_the_default_model_tells_no_classes_and_gives_no_bare_verdict(runtime: str) -> None:
    classifier = default_model(runtime)
    info = classifier.open()
    assert (info.threshold, info.tells) == (0.35, frozenset())
    assert info.labels == ("empty", "animal", "person", "vehicle")
    assert classifier.judge(picture(1)).by_class == {}


@pytest.mark.parametrize("keep", [0, 10, 5000, 2_000_000])
def test_a_model_file_cut_short_is_refused_in_a_sentence(runtime: str, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(model_files.find("default", None).read_bytes()[:keep])
    with pytest.raises(ModelUnavailable) as caught:
        TfliteClassifier(path, name="cut", threads=1, runtime=runtime).open()
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_refused_in_a_sentence(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        TfliteClassifier(tmp_path / "absent.tflite", name="absent", threads=1, runtime=runtime).open()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled photographs are not beside the checkout")
@pytest.mark.slow
def test_real_photographs_are_told_apart(runtime: str) -> None:
    classifier = default_model(runtime)
    classifier.open()

    def scores(label: str) -> list[float]:
        files = sorted((SHARED / label).glob("*.jpg"))[::8]
        return [classifier.judge(file.read_bytes()).score for file in files]

    animals, empties = scores("animal"), scores("empty")
    won = sum(a > e for a in animals for e in empties) / (len(animals) * len(empties))
    assert won > 0.95
