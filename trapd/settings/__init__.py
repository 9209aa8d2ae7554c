"""The settings as everything but their check reads them: plain frozen values, without pydantic.

`trapd.config` makes them, from the file and what lies over it; the daemon has that done by a child process
(`asked`) and never imports it. Pure but for that and for the password's file.
"""

from __future__ import annotations

from trapd.settings.secrets import Secret, mqtt_password
from trapd.settings.source import Loaded, Source, find
from trapd.settings.values import Settings

__all__ = ["Loaded", "Secret", "Settings", "Source", "find", "mqtt_password"]
