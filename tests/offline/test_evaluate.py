"""Evaluation on labelled folders: figures, groups, and what cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.camera import jpeg
from tests.fakes.classifier import FakeClassifier
from trapd.errors import UsageError
from trapd.offline.evaluate import Labelled, Whole, evaluate, photographs, report
from trapd.offline.gather import Trouble


def labelled(label: str, score: float, night: bool = False) -> Labelled:
    return Labelled(Path("x.jpg"), label, night, score)


def test_the_report_has_the_contracts_shape_and_right_figures() -> None:
    judged = [
        labelled("animal", 0.9),
        labelled("animal", 0.6, night=True),
        labelled("person", 0.3),
        labelled("empty", 0.5),
        labelled("empty", 0.1, night=True),
        labelled("empty", 0.05),
    ]
    found = report(judged, recall=0.95, threshold=0.35)
    assert found["n_nonempty"], found["n_empty"] == (3, 3)
    assert found["auc"] == pytest.approx(8 / 9, abs=1e-4)
    assert found["auc_ci"][0] < found["auc"] < found["auc_ci"][1]
    own = next(row for row in found["thresholds"] if row["threshold"] == 0.35)
    assert own["recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert own["false_keep"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["recommended"] == 0.3
    assert found["by"]["night"]["n_nonempty"] == 1
    assert found["by"]["person"]["n_empty"] == 3
    assert "vehicle" not in found["by"]


def test_one_kind_alone_has_no_auc_but_still_a_report() -> None:
    found = report([labelled("empty", 0.2)], recall=0.95, threshold=0.35)
    assert found["auc"] is None
    assert found["recommended"] is None
    assert found["thresholds"][0]["recall"] is None


def test_a_folder_without_labels_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the folders"):
        photographs(tmp_path)
    (tmp_path / "animal").mkdir()
    with pytest.raises(UsageError, match="no photograph"):
        photographs(tmp_path)


def test_what_cannot_be_judged_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    for label in ("animal", "empty"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.jpg").write_bytes(jpeg())
    (tmp_path / "animal" / "2.jpg").write_bytes(b"")
    classifier = FakeClassifier(0.8)
    classifier.open()
    found, troubles = photographs(tmp_path)
    assert not troubles
    groups = [[one] for one in found]
    results = list(evaluate(groups, classifier, lambda data: len(data) < 10))
    assert [type(one) for one in results] == [Labelled, Whole, Trouble, Labelled, Whole]
    assert isinstance(results[2], Trouble)
    assert results[2].path.name == "2.jpg"


def test_a_burst_is_judged_as_a_whole_by_its_best_frame(tmp_path: Path) -> None:
    (tmp_path / "animal").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "animal" / name).write_bytes(jpeg())
    classifier = FakeClassifier(0.3)
    classifier.open()
    classifier.judging = lambda: setattr(classifier, "score", 0.7 if classifier.judged else 0.3)
    found, _ = photographs(tmp_path)
    results = list(evaluate([found], classifier, lambda data: False))
    assert [one.score for one in results if isinstance(one, Whole)] == [0.7]
    judged = [one for one in results if isinstance(one, Labelled)]
    whole = [one for one in results if isinstance(one, Whole)]
    made = report(judged, recall=0.95, threshold=0.35, whole=whole)
    assert (made["n_bursts"], made["bursts"]["recall"], made["thresholds"][6]["recall"]) == (1, 1.0, 0.5)


def test_classes_are_told_by_day_and_by_night() -> None:
    judged = [
        labelled("animal", 0.9),
        labelled("animal", 0.2, night=True),
        labelled("empty", 0.1, night=True),
    ]
    by = report(judged, recall=0.95, threshold=0.35)["by"]
    assert (by["animal, day"]["recall"], by["animal, night"]["recall"]) == (1.0, 0.0)
    assert by["animal, night"]["n_empty"] == 1
