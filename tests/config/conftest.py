"""What holds for every test of the configuration: all backends are written."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from trapd import backends as package

BACKENDS = ("camera_picamera2", "camera_replay", "sensor_gpiozero", "sensor_timer")


@pytest.fixture(autouse=True)
def backends(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which backends are looked for, so that no test depends on which are written by now."""
    folder = tmp_path_factory.mktemp("backends")
    for name in BACKENDS:
        (folder / f"{name}.py").touch()
    monkeypatch.setattr(package, "__path__", [str(folder)])
    for name in [name for name in sys.modules if name.startswith("trapd.backends.")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return folder
