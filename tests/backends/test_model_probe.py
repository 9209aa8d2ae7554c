"""A model is tried where it can do no harm: in a child process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.backends.pictures_made import jpeg_of, scene
from tests.fakes.tflite_file import Made, Value, write
from trapd.backends import model_files, model_probe
from trapd.backends.model_probe import Probe, probe
from trapd.backends.pictures import small_of
from trapd.backends.tflite import classifier
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.errors import BadPicture, ModelUnavailable
from trapd.stages.screen import Screen

DEFAULT = model_files.find("default", None)
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "models"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the models for tests are not beside the checkout"
)


def test_the_default_model_is_sound() -> None:
    shown = probe(DEFAULT, processes=1)
    assert shown.ok
    assert (shown.layout, shown.input) == ("trapd", "int8 [1, 320, 320, 3]")
    assert shown.labels == ("empty", "unclassified")
    assert shown.ms is not None
    assert shown.ms > 0


def test_a_path_that_looks_like_an_option_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("--help").write_bytes(b"no model")
    assert not probe(Path("--help"), processes=1).ok


def test_modules_in_the_working_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("numpy.py").write_text("raise SystemExit(77)", "utf-8")
    assert probe(DEFAULT, processes=1).ok


def test_a_model_that_gives_no_answer_in_time_is_refused() -> None:
    shown = probe(DEFAULT, processes=1, timeout_s=0.01)
    assert shown == Probe(ok=False, reason="the model gave no answer in 0 s", hint="install another model")


@pytest.mark.slow
def test_models_cut_or_damaged_anywhere_never_harm_this_process(tmp_path: Path) -> None:
    data = DEFAULT.read_bytes()
    draw = random.Random(5)
    for number in range(14):
        path = tmp_path / f"{number}.tflite"
        if number % 2:
            path.write_bytes(data[: draw.choice((0, 4, 40, 400, 4_000, 40_000, draw.randrange(len(data))))])
        else:
            damaged = bytearray(data)
            for _ in range(draw.choice((1, 20, 400))):
                damaged[draw.randrange(60_000)] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
        shown = probe(path, processes=1)
        if number % 2:
            assert not shown.ok
        if not shown.ok:
            assert shown.reason
            assert "\n" not in shown.reason
            with pytest.raises(ModelUnavailable):
                TfliteClassifier(path, name="damaged", threads=1).open()


def test_a_model_that_ends_its_process_ends_no_other(tmp_path: Path) -> None:
    path = write(tmp_path / "made.tflite", Made(outputs=[Value([[0.5, 0.5]])], endless=True))
    shown = probe(path)
    assert (shown.ok, shown.reason) == (False, "the model ended the process that tried it (SIGSEGV)")
    with pytest.raises(ModelUnavailable, match="ended the process"):
        TfliteClassifier(path, name="made", threads=2).open()


def test_a_model_that_hangs_is_given_up_well_before_the_stage_that_waits_for_it() -> None:
    assert Screen.patience_s >= 2 * classifier._TRIAL_S


def test_a_model_whose_answer_is_no_score_is_unavailable_and_the_next_picture_is_judged(
    tmp_path: Path,
) -> None:
    files: dict[str, str | bytes] = {"labels.txt": "empty\nanimal\n"}
    outputs = [Value([[0.5, 0.5]], gain=[[-1.0, 1.0]])]
    path = write(tmp_path / "made.tflite", Made(outputs=outputs, files=files))
    classifier = TfliteClassifier(path, name="made", threads=1)
    # The self-test's own pictures are not white: what they did not show is refused when it comes.
    path.with_suffix(".labels.json").write_text('{"pixels": {"mean": [0], "std": [600]}}', "utf-8")
    classifier.open()
    grey, white = (jpeg_of(Image.new("RGB", (32, 32), (shade,) * 3), quality=100) for shade in (120, 255))
    assert 0 <= classifier.judge(grey).score <= 1
    assert 0 <= classifier.judge(white).score <= 1


@pytest.mark.slow
def test_damaged_models_and_photographs_never_end_the_process_that_judges() -> None:
    count = 400 if os.environ.get("TRAPD_PROVE") == "1" else 24
    done = subprocess.run(
        [sys.executable, "-m", "tests.backends.fuzzing", str(count), "11"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tally = json.loads(done.stdout.splitlines()[-1])
    assert tally["opened"] + tally["refused"] == count
    assert tally["refused"] > 0
    assert tally["judged"] > 0


@needs_shared
@pytest.mark.slow
def test_a_model_that_is_not_the_same_each_time_is_never_called_sound() -> None:
    """It reads what nobody has written: some processes find it, each whose memory is full does."""
    path = SHARED / "formats" / "yolo11n_int8_unstable.tflite"
    assert not probe(path).ok
    for fill in model_probe._FILLS[1:]:
        assert not model_probe._one(model_probe._command(path, None, 1, None), 120.0, fill).ok


@needs_shared
@pytest.mark.slow
def test_a_model_without_labels_opens_only_with_some(tmp_path: Path) -> None:
    path = SHARED / "formats" / "wildlife_classifier_quantized.tflite"
    with pytest.raises(ModelUnavailable, match=r"filter\.labels"):
        TfliteClassifier(path, name="wildlife", threads=1).open()
    labels = tmp_path / "labels.txt"
    labels.write_text("empty\nhuman\n" + "".join(f"species {number}\n" for number in range(34)), "utf-8")
    classifier = TfliteClassifier(path, name="wildlife", threads=1, labels=labels)
    info = classifier.open()
    assert (info.layout, info.tells) == ("classifier", {"person"})


@needs_shared
@pytest.mark.slow
def test_a_detector_names_what_it_sees() -> None:
    path = SHARED / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    classifier = TfliteClassifier(path, name="ssd", threads=2)
    info = classifier.open()
    assert (info.layout, info.threshold) == ("ssd", 0.35)
    assert info.tells == {"animal", "person", "vehicle"}
    data = pytest.importorskip("skimage.data")
    for picture, category in ((data.chelsea(), "animal"), (data.astronaut(), "person")):
        judged = classifier.judge(jpeg_of(Image.fromarray(picture)))
        assert max(judged.by_class, key=lambda name: judged.by_class[name]) == category
        assert judged.score > info.threshold


def test_a_bad_picture_whose_error_is_kept_does_not_stop_the_next() -> None:
    classifier = TfliteClassifier(DEFAULT, name="default", threads=1)
    classifier.open()
    kept = []
    small, _, _ = small_of(jpeg_of(scene()), (640, 360))
    for bad in (b"", jpeg_of(scene())[:3000], replace(small, data=small.data[:100]), replace(small, width=3)):
        try:
            classifier.judge(bad)
        except BadPicture as error:
            kept.append(error)
        assert 0 <= classifier.judge(small).score <= 1
    assert len(kept) == 4
