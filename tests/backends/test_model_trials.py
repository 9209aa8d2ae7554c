"""A model is loaded here only where it was loaded in a child: same runtime, same processor."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.fakes.tflite_file import Made, Value, write
from trapd.backends import model_files, model_probe, model_trials
from trapd.backends.model_probe import Probe, probe
from trapd.backends.model_trials import Trials, processor, runtime_installed
from trapd.backends.tflite import classifier as module
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.errors import ModelUnavailable

DEFAULT = model_files.find("default", None)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models that were tried in a child, in their order."""
    tried: list[Path] = []

    def counted(path: Path, **options: object) -> Probe:
        tried.append(path)
        return probe(path, **options)  # type: ignore[arg-type]  # they are passed on as they came

    monkeypatch.setattr(model_probe, "probe", counted)
    return tried


def opened(path: Path, tried: Path | None, *, threads: int = 1) -> None:
    classifier = TfliteClassifier(path, name="made", threads=threads, tried=tried)
    try:
        classifier.open()
    finally:
        classifier.close()


def installed(path: Path, made: Made) -> Path:
    """A model that somebody vouches for."""
    write(path, made)
    note = {"sha256": model_files.sha256_of(path), "source": "a person", "installed": "2026-11-25"}
    model_files.note_path(path).write_text(json.dumps(note), "utf-8")
    return path


def sound(gain: float = 0.25) -> Made:
    return Made(outputs=[Value([[0.5, 0.5]], gain=[[-gain, gain]])], files={"labels.txt": "empty\nanimal\n"})


def with_runtime(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    package = sys.modules[runtime_module()]
    monkeypatch.setattr(package, "__version__", version)


def runtime_module() -> str:
    runtime_installed(None)
    return next(name for name in ("ai_edge_litert", "tflite_runtime") if name in sys.modules)


def test_a_vouched_model_that_ends_its_process_ends_a_child_and_not_the_daemon(tmp_path: Path) -> None:
    path = installed(tmp_path / "made.tflite", Made(outputs=[Value([[0.5, 0.5]])], endless=True))
    tried = tmp_path / "tried.json"
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="ended the process"):
            opened(path, tried)
    assert not tried.exists()


def test_a_model_is_tried_once_and_then_loaded_at_once(tmp_path: Path, children: list[Path]) -> None:
    tried = tmp_path / "tried.json"
    for _ in range(3):
        opened(DEFAULT, tried)
    assert children == [DEFAULT]


def test_another_file_is_tried_again(tmp_path: Path, children: list[Path]) -> None:
    path, tried = installed(tmp_path / "made.tflite", sound()), tmp_path / "tried.json"
    opened(path, tried)
    opened(path, tried)
    opened(installed(path, sound(gain=0.2)), tried)
    assert len(children) == 2


def test_after_an_upgrade_of_the_runtime_it_is_tried_again(
    tmp_path: Path, children: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tried = installed(tmp_path / "made.tflite", sound()), tmp_path / "tried.json"
    opened(path, tried)
    with_runtime(monkeypatch, "99.0.0")
    opened(path, tried)
    opened(path, tried)
    assert len(children) == 2


def test_a_model_that_a_new_runtime_cannot_bear_never_gets_into_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tried = installed(tmp_path / "made.tflite", sound()), tmp_path / "tried.json"
    opened(path, tried)
    with_runtime(monkeypatch, "99.0.0")
    refused = Probe(ok=False, reason="it ended", hint="another")
    monkeypatch.setattr(model_probe, "probe", lambda *_, **__: refused)
    monkeypatch.setattr(module, "Model", None)  # whoever loads it here fails
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="it ended"):
            opened(path, tried)


def test_on_another_processor_or_with_more_threads_it_is_tried_again(
    tmp_path: Path, children: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tried = installed(tmp_path / "made.tflite", sound()), tmp_path / "tried.json"
    opened(path, tried)
    opened(path, tried, threads=2)
    assert len(children) == 2
    monkeypatch.setattr(model_trials, "processor", lambda: "aarch64 000000000000")
    opened(path, tried, threads=2)
    assert len(children) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b"\xff\xfe", b"[" * 90_000])
def test_a_damaged_memory_costs_a_trial_and_is_made_anew(
    content: bytes, tmp_path: Path, children: list[Path]
) -> None:
    path, tried = installed(tmp_path / "made.tflite", sound()), tmp_path / "tried.json"
    tried.write_bytes(content)
    opened(path, tried)
    opened(path, tried)
    assert len(children) == 1


def test_a_memory_that_cannot_be_written_costs_a_trial_each_time(
    tmp_path: Path, children: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = installed(tmp_path / "made.tflite", sound())
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            opened(path, tmp_path / "nowhere" / "tried.json")
    assert len(children) == 2
    assert "tried in a child again" in caplog.text


def test_the_memory_stays_small(tmp_path: Path) -> None:
    trials = Trials(tmp_path / "tried.json", threads=1)
    for number in range(50):
        trials.note(f"{number:064x}")
    assert trials.passed(f"{49:064x}")
    assert not trials.passed(f"{10:064x}")
    assert len(json.loads((tmp_path / "tried.json").read_text("utf-8"))) == 20


def test_without_a_memory_what_somebody_vouches_for_is_loaded_at_once(
    tmp_path: Path, children: list[Path]
) -> None:
    opened(DEFAULT, None)
    assert children == []
    opened(write(tmp_path / "made.tflite", sound()), None)
    assert len(children) == 1


def test_what_a_processor_is_does_not_change_from_start_to_start(tmp_path: Path) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text("processor : 0\nFeatures : fp asimd\nCPU part : 0xd03\nBogoMIPS : 38.40\n", "utf-8")
    one = processor(described)
    described.write_text("processor : 0\nFeatures : fp asimd\nCPU part : 0xd03\nBogoMIPS : 40.00\n", "utf-8")
    assert processor(described) == one
    described.write_text("processor : 0\nFeatures : fp asimd\nCPU part : 0xd08\n", "utf-8")
    assert processor(described) != one
    assert processor(tmp_path / "none")


def test_the_runtime_is_named_without_its_libraries_being_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = runtime_module()
    assert runtime_installed(None).split()[0] in ("litert", "tflite_runtime")
    made = ModuleType(name)
    made.__file__ = __file__
    monkeypatch.setitem(sys.modules, name, made)
    assert runtime_installed(None).endswith(" of 0 bytes")
