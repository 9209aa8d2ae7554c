"""Imports paho's client without `urllib.request`, which it uses for WebSockets behind proxies alone.

With it come HTTP and e-mail, a tenth of the daemon's imports. Called by the composition root on the main
thread, before the uplink is imported.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_LEFT_OUT = "urllib.request"


def lean() -> None:
    """An empty module stands in for it meanwhile; whoever imports it later gets the real one."""
    if _LEFT_OUT in sys.modules:
        return
    sys.modules[_LEFT_OUT] = ModuleType(_LEFT_OUT)
    try:
        importlib.import_module("paho.mqtt.client")
    finally:
        del sys.modules[_LEFT_OUT]
