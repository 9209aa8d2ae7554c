"""Keeps `urllib.request` from being loaded with paho's client, which asks it for proxies alone.

With it come HTTP and e-mail, a tenth of the daemon's imports. Called by the composition root before the
uplink is imported, on whichever thread that is; other threads may import what they like meanwhile.
"""

from __future__ import annotations

import importlib
import sys
import urllib
from types import ModuleType
from typing import Any

_NAME = "urllib.request"


class _Later(ModuleType):
    """Stands for the module until something of it is asked for, and passes on what is asked for after that.

    The standard library's LazyLoader will not do: an import statement asks it for its `__spec__`, and that
    is reason enough for it to load.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def lean() -> None:
    """From now on it is loaded when something of it is first asked for, by whomever."""
    if _NAME in sys.modules:
        return
    sys.modules[_NAME] = later = _Later(_NAME)
    setattr(urllib, "request", later)  # noqa: B010 - as importing it would; a type checker knows better
