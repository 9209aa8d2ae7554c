"""pydantic lives in trapd.config and nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.config.common import ROOT


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_other_room_imports_pydantic() -> None:
    """Also not inside a function, where import-linter's picture ends."""
    rooms = [path for path in (ROOT / "trapd").rglob("*.py") if path.parent != ROOT / "trapd" / "config"]
    assert rooms
    culprits = [
        path for path in rooms if any(name.partition(".")[0] == "pydantic" for name in imported(path))
    ]
    assert culprits == []


def test_the_verbs_do_not_import_it_before_they_run() -> None:
    """Help and completion stay fast."""
    code = "import sys, trapd.cli.config; print({'pydantic', 'yaml', 'numpy', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
