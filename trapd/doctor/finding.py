"""What doctor says of one thing."""

from __future__ import annotations

from trapd.frozen import Frozen


class Finding(Frozen):
    """One thing looked at. `ok` False: the unit would not work. `warning`: it would; it is worth a look."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    warning: bool = False
