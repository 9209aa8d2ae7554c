"""The configuration: one file in, one frozen value out, or every fault at once.

`load(find(None))` at start-up; `settings_from` for plain data: the demo, tests, documents from afar. pydantic
lives here and nowhere else; the rest of trapd reads `Settings` by attribute.
"""

from __future__ import annotations

from trapd.config.advice import warnings
from trapd.config.checking import settings_from
from trapd.config.load import Loaded, find, fingerprint, load, read_storage_path
from trapd.config.published import json_schema
from trapd.config.schema import Settings
from trapd.config.secrets import Secret, mqtt_password

__all__ = [
    "Loaded",
    "Secret",
    "Settings",
    "find",
    "fingerprint",
    "json_schema",
    "load",
    "mqtt_password",
    "read_storage_path",
    "settings_from",
    "warnings",
]
