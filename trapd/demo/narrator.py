"""What a person, or a program, sees of the demo while it runs. Called by the demo's thread.

`tell` takes each piece of news once, as a sentence for people and as fields for programs; a narrator prints
one or the other.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any, Protocol


class Narrator(Protocol):
    """Prints news as it comes."""

    def tell(self, kind: str, sentence: str, *, style: str = "", **fields: Any) -> None:
        """One piece of news. `style` is rich's, for terminals."""


class Lines:
    """A line for people: local time and sentence, in colour on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)

    def tell(self, kind: str, sentence: str, *, style: str = "", **fields: Any) -> None:  # noqa: ARG002
        """Print the sentence."""
        from rich.text import Text

        stamp = datetime.now().astimezone().strftime("%H:%M:%S")
        self._console.print(Text.assemble((stamp, "dim"), "  ", (sentence, style)))


class JsonLines:
    """One JSON object a line for programs; nothing else goes to standard output."""

    def tell(self, kind: str, sentence: str, *, style: str = "", **fields: Any) -> None:  # noqa: ARG002
        """Print the fields."""
        sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
        sys.stdout.flush()
