"""Shared by the tests of the configuration: documents, and the faults they give."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from trapd.config import Settings, load, settings_from
from trapd.errors import ConfigurationError, Fault

ROOT = Path(__file__).parents[2]
LEAST: dict[str, Any] = {"unit": {"id": "ridge-07"}, "mqtt": {"host": "broker.example.org"}}
ONE_KEY = f"ed25519:{'A' * 43}="


def document(**changes: Any) -> dict[str, Any]:
    """The least document with dotted keys set: document(**{"mqtt.port": 1})."""
    whole = copy.deepcopy(LEAST)
    for path, value in changes.items():
        group = whole
        *parents, key = path.split(".")
        for parent in parents:
            group = group.setdefault(parent, {})
        group[key] = value
    return whole


def settings(**changes: Any) -> Settings:
    return settings_from(document(**changes), Path("/etc/trapd"))


def faults_of(given: dict[str, Any]) -> dict[str, Fault]:
    """Every fault by its path; empty where there is none."""
    try:
        settings_from(given, Path("/etc/trapd"))
    except ConfigurationError as error:
        assert len({fault.path for fault in error.faults}) == len(error.faults)
        return {fault.path: fault for fault in error.faults}
    return {}


def faults_in(text: str, folder: Path) -> list[Fault]:
    """Every fault of a file with this text, in order; empty where there is none."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except ConfigurationError as error:
        return list(error.faults)
    return []
