"""Judging bursts offline: verdicts, damaged files, and the two formats."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fakes.camera import jpeg
from tests.fakes.classifier import INFO, FakeClassifier
from trapd.errors import BadPicture
from trapd.offline import megadetector, video
from trapd.offline.gather import Burst, bursts, gather
from trapd.offline.replay import Judged, Result, replay
from trapd.records import FrameScore
from trapd.rules import judge_burst


@pytest.fixture
def classifier() -> FakeClassifier:
    made = FakeClassifier(0.9)
    made.open()
    return made


def judged(burst: Burst, classifier: FakeClassifier, threshold: float | None = None) -> Result:
    (result,) = replay([burst], classifier, INFO, threshold=threshold)
    return result


def photograph(path: Path, data: bytes | None = None) -> Path:
    path.write_bytes(jpeg() if data is None else data)
    return path


def test_a_line_has_the_contracts_keys(tmp_path: Path, classifier: FakeClassifier) -> None:
    burst = Burst("b", (photograph(tmp_path / "1.jpg"), photograph(tmp_path / "2.jpg")))
    line = judged(burst, classifier).line()
    assert {"burst", "files", "verdict", "score", "detections"} <= line.keys()
    assert (line["burst"], line["verdict"], line["score"]) == ("b", "unclassified", 0.9)
    assert line["files"] == [str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg")]
    json.dumps(line)


def test_the_threshold_given_goes_before_the_models(tmp_path: Path, classifier: FakeClassifier) -> None:
    burst = Burst("b", (photograph(tmp_path / "1.jpg"),))
    assert judged(burst, classifier, threshold=0.95).verdict.verdict == "empty"


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_damaged_photograph_keeps_an_otherwise_empty_burst(
    tmp_path: Path, classifier: FakeClassifier, data: bytes
) -> None:
    classifier.score = 0.1
    burst = Burst("b", (photograph(tmp_path / "1.jpg"), photograph(tmp_path / "2.jpg", data)))
    result = judged(burst, classifier)
    assert (result.verdict.verdict, result.verdict.keep) == ("unknown", True)
    assert result.frames[1].failure


def test_a_damaged_photograph_does_not_hide_what_another_shows(
    tmp_path: Path, classifier: FakeClassifier
) -> None:
    burst = Burst("b", (photograph(tmp_path / "1.jpg", b""), photograph(tmp_path / "2.jpg")))
    assert judged(burst, classifier).verdict.verdict == "unclassified"


def test_a_failing_model_keeps_the_burst(tmp_path: Path, classifier: FakeClassifier) -> None:
    classifier.fail_judge = True
    assert judged(Burst("b", (photograph(tmp_path / "1.jpg"),)), classifier).verdict.verdict == "unknown"


def test_a_file_that_went_away_keeps_the_burst(tmp_path: Path, classifier: FakeClassifier) -> None:
    result = judged(Burst("b", (tmp_path / "gone.jpg",)), classifier)
    assert (result.verdict.verdict, result.frames[0].score) == ("unknown", None)


def batch(results: list[Result]) -> dict:  # type: ignore[type-arg]  # plain JSON
    return megadetector.document(results, INFO, threshold=0.35, finished=datetime(2026, 11, 22, tzinfo=UTC))


def test_the_batch_names_files_below_their_shared_folder(tmp_path: Path, classifier: FakeClassifier) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        photograph(tmp_path / folder / "1.jpg")
    photograph(tmp_path / "b" / "2.jpg", b"no picture")
    found = gather([tmp_path])
    document = batch(list(replay(bursts(found, size=1, by_folder=False), classifier, INFO, threshold=None)))
    assert document["info"]["format_version"] == "1.6"
    assert document["detection_categories"]["1"] == "animal"
    images = {image["file"]: image for image in document["images"]}
    assert set(images) == {"a/1.jpg", "b/1.jpg", "b/2.jpg"}
    assert images["b/2.jpg"]["detections"] is None
    assert images["b/2.jpg"]["failure"]
    for box in images["a/1.jpg"]["detections"]:
        assert box["category"] in document["detection_categories"]
        assert 0 <= box["conf"] <= 1
        assert len(box["bbox"]) == 4
    assert images["a/1.jpg"]["detections"][0]["conf"] == 0.9


def test_a_link_stands_under_its_own_name(tmp_path: Path, classifier: FakeClassifier) -> None:
    """Other tools look for the file where the person has it."""
    (tmp_path / "deep" / "below").mkdir(parents=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.jpg").symlink_to(photograph(tmp_path / "deep" / "below" / "target.jpg"))
    results = list(
        replay(bursts(gather([tmp_path / "in"]), size=1, by_folder=False), classifier, INFO, threshold=None)
    )
    assert [image["file"] for image in batch(results)["images"]] == ["link.jpg"]


def test_the_batch_names_the_model_by_its_title_or_its_file(
    tmp_path: Path, classifier: FakeClassifier
) -> None:
    finished = datetime(2026, 11, 22, tzinfo=UTC)
    for info, name in (
        (INFO, "fake"),
        (replace(INFO, name="default", title="trapd-lite0"), "trapd-lite0"),
        (replace(INFO, name="models/of/mine.tflite"), "mine.tflite"),
    ):
        made = megadetector.document([], info, threshold=0.35, finished=finished)
        assert made["info"]["detector"] == name


@pytest.mark.parametrize(
    ("by_class", "category"),
    [({"animal": 0.85}, "1"), ({"animal": 0.1, "person": 0.7}, "2"), ({"animal": 0.1}, "4"), ({}, "4")],
    ids=["named", "the strongest", "something that has no name", "no names"],
)
def test_what_a_classifier_finds_is_a_box_around_the_whole_picture(
    tmp_path: Path, by_class: dict[str, float], category: str
) -> None:
    """It gives no boxes: without one Timelapse would take the photograph for empty."""
    frame = Judged(tmp_path / "1.jpg", FrameScore(0.9, by_class))
    burst = Burst("b", (tmp_path / "1.jpg",))
    result = Result(burst, judge_burst([frame.score], INFO, threshold=0.5, classes=()), (frame,))
    info = replace(INFO, layout="classifier")
    document = megadetector.document(
        [result], info, threshold=0.35, finished=datetime(2026, 11, 22, tzinfo=UTC)
    )
    (box,) = document["images"][0]["detections"]
    assert box == {"category": category, "conf": 0.9, "bbox": [0.0, 0.0, 1.0, 1.0]}


def test_what_became_a_pipe_meanwhile_is_not_waited_for(tmp_path: Path, classifier: FakeClassifier) -> None:
    os.mkfifo(tmp_path / "1.jpg")
    result = judged(Burst("b", (tmp_path / "1.jpg",)), classifier)
    assert (result.verdict.verdict, result.frames[0].score) == ("unknown", None)


def make_video(path: Path, seconds: int = 3, rate: int = 5) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(seconds * rate):
            pixels = np.full((48, 64, 3), number * 5, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_gives_a_frame_a_second(tmp_path: Path) -> None:
    found = list(video.frames(make_video(tmp_path / "clip.mp4")))
    assert [frame.number for frame in found] == [0, 5, 10]
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in found)
    assert found[0].frame_rate == pytest.approx(5)


def test_a_video_is_one_entry_of_the_batch(tmp_path: Path, classifier: FakeClassifier) -> None:
    make_video(tmp_path / "clip.mp4")
    results = list(
        replay(bursts(gather([tmp_path]), size=1, by_folder=False), classifier, INFO, threshold=None)
    )
    (image,) = batch(results)["images"]
    assert (image["file"], image["frames_processed"]) == ("clip.mp4", [0, 5, 10])
    assert image["frame_rate"] == pytest.approx(5)
    assert {box["frame_number"] for box in image["detections"]} == {0, 5, 10}


def test_what_is_no_video_says_so(tmp_path: Path, classifier: FakeClassifier) -> None:
    path = photograph(tmp_path / "clip.mp4", b"no video at all")
    with pytest.raises(BadPicture, match=r"cannot be decoded: [A-Z][a-z ]+"):
        list(video.frames(path))
    result = judged(Burst("clip", (path,), video=True), classifier)
    assert (result.verdict.verdict, result.verdict.keep) == ("unknown", True)
