"""The configuration: one file in, one frozen value out, or every fault at once.

`load(find(None))` for the verbs; `settings_from` for plain data: the demo, tests. pydantic lives here and
nowhere else, and the daemon does without it: a child process (`trapd.config.child`) checks for it. What comes
out are the plain values of `trapd.settings`, some of which are named here too.
"""

from __future__ import annotations

from trapd.config.advice import warnings
from trapd.config.checking import settings_from
from trapd.config.load import Here, fingerprint, load, read_storage_path
from trapd.config.published import json_schema
from trapd.settings import Loaded, Secret, Settings, find, mqtt_password

__all__ = [
    "Here",
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
