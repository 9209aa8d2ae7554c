"""Evaluation on labelled folders: figures, groups, and what cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.camera import jpeg
from tests.fakes.classifier import FakeClassifier
from trapd.errors import UsageError
from trapd.offline.evaluate import Labelled, evaluate, photographs, report
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
    results = list(evaluate(found, classifier, lambda data: len(data) < 10))
    assert [type(one) for one in results] == [Labelled, Trouble, Labelled]
    assert isinstance(results[1], Trouble)
    assert results[1].path.name == "2.jpg"
