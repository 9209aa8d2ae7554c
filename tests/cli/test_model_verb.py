"""`trapd model list|install|test` as a person runs them."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trapd.backends.model_files import find
from trapd.cli.model import model
from trapd.errors import ModelUnavailable, UsageError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "models"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the models for tests are not beside the checkout"
)
DEFAULT = find("default", None)
SHA256 = hashlib.sha256(DEFAULT.read_bytes()).hexdigest()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(model, [str(argument) for argument in arguments])


def test_the_models_of_the_package_are_listed(tmp_path: Path) -> None:
    result = run("list", "--models", tmp_path, "--json")
    assert result.exit_code == 0
    found = {one["name"]: one for one in json.loads(result.stdout)["models"]}
    assert found["default"]["sha256"] == SHA256
    assert "default" in run("list", "--models", tmp_path).stdout


@pytest.mark.slow
def test_the_default_model_passes_with_the_contracts_fields() -> None:
    result = run("test", "default", "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert {"ok", "file", "layout", "input", "labels", "ms", "reason"} <= shown.keys()
    assert (shown["ok"], shown["labels"][0], shown["tells"]) == (True, "empty", [])
    assert shown["ms"] > 0


@pytest.mark.parametrize("keep", [0, 3000])
def test_a_file_cut_short_is_refused_in_one_sentence(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(DEFAULT.read_bytes()[:keep])
    result = run("test", path)
    assert result.exit_code == 1
    assert result.stdout.startswith("not usable: ")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.slow
def test_installing_a_file_makes_it_a_model_that_can_be_named(tmp_path: Path) -> None:
    result = run("install", DEFAULT, "--name", "mine", "--models", tmp_path, "--sha256", SHA256.upper())
    assert result.exit_code == 0, result.output
    assert "filter.model: mine" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.tflite"]
    assert (tmp_path / "mine.tflite").read_bytes() == DEFAULT.read_bytes()
    listed = json.loads(run("list", "--models", tmp_path, "--json").stdout)["models"]
    assert [one["name"] for one in listed][-1] == "mine"
    assert run("test", "mine", "--models", tmp_path).exit_code == 0
    again = run("install", DEFAULT, "--name", "mine", "--models", tmp_path)
    assert isinstance(again.exception, UsageError)


def test_what_is_not_the_file_that_was_meant_is_not_installed(tmp_path: Path) -> None:
    result = run("install", DEFAULT, "--name", "mine", "--models", tmp_path, "--sha256", "0" * 64)
    assert isinstance(result.exception, ModelUnavailable)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_its_self_test_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(DEFAULT.read_bytes()[:3000])
    result = run("install", path, "--models", tmp_path / "models")
    assert result.exit_code == 1
    assert list((tmp_path / "models").iterdir()) == []
    assert result.stdout.startswith("not usable: cut.tflite is not a TFLite model")  # as it was given


@pytest.mark.parametrize("name", ["../escape", "Default!", "default", ".hidden", ""])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    result = run("install", DEFAULT, "--name", name or " ", "--models", tmp_path / "models")
    assert isinstance(result.exception, UsageError)
    assert "[" not in result.exception.hint  # a pattern is no sentence
    assert not (tmp_path / "models").exists()


def test_an_address_of_another_kind_is_no_file(tmp_path: Path) -> None:
    result = run("install", "ftp://example.org/m.tflite", "--models", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("a model cannot be fetched by ftp")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(DEFAULT.parent)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join(5)


@pytest.mark.slow
def test_a_model_from_afar_needs_its_sha256_and_is_compared_with_it(tmp_path: Path, server: str) -> None:
    address = f"{server}/{DEFAULT.name}"
    assert isinstance(run("install", address, "--models", tmp_path).exception, UsageError)
    wrong = run("install", address, "--models", tmp_path, "--sha256", "0" * 64)
    assert isinstance(wrong.exception, ModelUnavailable)
    assert run("install", address, "--models", tmp_path, "--sha256", SHA256, "--name", "far").exit_code == 0
    assert (tmp_path / "far.tflite").is_file()


def test_an_address_that_does_not_answer_is_said(tmp_path: Path, server: str) -> None:
    result = run("install", f"{server}/absent.tflite", "--models", tmp_path, "--sha256", SHA256)
    assert isinstance(result.exception, ModelUnavailable)
    assert "cannot be fetched: the server answers 404 File not found (" in str(result.exception)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    result = run("install", f"http://127.0.0.1:{port}/a.tflite", "--models", tmp_path, "--sha256", SHA256)
    assert "cannot be fetched: Connection refused (" in str(result.exception)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "ok", "words"),
    [
        ("coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite", True, "ssd"),
        ("formats/wildlife_classifier_quantized.tflite", True, "classifier"),
        ("formats/yolov5n-int8_edgetpu.tflite", False, "Edge TPU"),
        ("formats/yolov5n-int8.tflite", True, "yolov5"),
        ("formats/yolov8n_integer_quant_416.tflite", True, "yolov8"),
        ("formats/yolo26n_nchw_w8a32_random.tflite", True, "yolov8"),
        ("formats/yolo26n_nchw_end2end_random.tflite", True, "end-to-end"),
    ],
)
def test_real_exports_are_recognised_or_refused(file: str, ok: bool, words: str) -> None:
    result = run("test", SHARED / file, "--json")
    shown = json.loads(result.stdout)
    assert (shown["ok"], result.exit_code) == (ok, 0 if ok else 1)
    assert words in (shown["layout"] if ok else shown["reason"])


@needs_shared
@pytest.mark.slow
def test_a_sound_model_without_labels_is_ok_and_says_that_it_has_none() -> None:
    result = run("test", SHARED / "formats" / "wildlife_classifier_quantized.tflite", "--json")
    assert json.loads(result.stdout)["labels"] is None
