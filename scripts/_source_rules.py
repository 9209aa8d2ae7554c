"""Rules that no linter has: short files, a reason beside every silenced type error. Run by scripts/check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LONGEST_FILE_LINES = 400
SILENCED = re.compile(r"#\s*type:\s*ignore")
SILENCED_WITH_REASON = re.compile(r"#\s*type:\s*ignore\[[a-z0-9-]+(?:,\s*[a-z0-9-]+)*\]\s*#\s*\w.{5,}")


def source_files(root: Path) -> list[Path]:
    """Every Python file of the project: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.py"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return [root / name for name in names if (root / name).is_file()]


def faults(file: Path) -> list[str]:
    """What is wrong with one file, each fault as `line: sentence`."""
    lines = file.read_text("utf-8").splitlines()
    found = [
        f"{number}: `type: ignore` needs its code and a reason: # type: ignore[code]  # why"
        for number, line in enumerate(lines, 1)
        if SILENCED.search(line) and not SILENCED_WITH_REASON.search(line)
    ]
    if len(lines) > LONGEST_FILE_LINES:
        found.append(f"{len(lines)}: no file is over {LONGEST_FILE_LINES} lines")
    return found


def main() -> int:
    """Print every fault; 1 if there is any."""
    root = Path(__file__).resolve().parent.parent
    files = [file for file in source_files(root) if file != Path(__file__).resolve()]
    found = [f"{file.relative_to(root)}:{fault}" for file in files for fault in faults(file)]
    for line in found:
        sys.stdout.write(line + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
