"""The command as a whole: exit codes, what goes to stderr, and what is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trapd import __version__, cli
from trapd.cli import verbs

pytestmark = pytest.mark.usefixtures("verb_that_ends")


@pytest.fixture
def verb_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(verbs._VERBS, "end", ("tests.cli.verbs_that_fail:end", "End so."))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """`trapd ARGUMENTS`: what it exits with."""
    monkeypatch.setattr(sys, "argv", ["trapd", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def child(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A process of its own, in which nothing is imported yet."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("well", 0, ""),
        ("one", 1, ""),
        ("usage", 2, "trapd: there is no store (name another)\n"),
        ("locked", 1, "trapd: another trapd (process 7) uses it (stop it)\n"),
        ("full", 1, "trapd: no space left (free some)\n"),
        ("camera", 1, "trapd: no camera answers (look at the cable)\n"),
        ("stage", 1, "trapd: stage capture failed: broken\n"),
        ("click", 1, "Error: did not work\n"),
        (
            "permission",
            1,
            "trapd: /var/lib/trapd/models: Permission denied (call trapd as the unit's user)\n",
        ),
        (
            "configuration",
            78,
            "trapd: unit.yaml has 2 faults\n  unit.id: is required (such as ridge-07)\n  mqtt.port: is 'x'\n",
        ),
    ],
)
def test_each_end_has_its_code_and_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str, code: int, says: str
) -> None:
    assert run(monkeypatch, "end", how) == code
    assert capsys.readouterr() == ("", says)


@pytest.mark.parametrize("verb", ["status", "events", "doctor"])
def test_a_fault_of_the_file_as_a_whole_has_no_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, verb, "--config", "nosuch.yaml") == 78
    assert capsys.readouterr().err == (
        "trapd: nosuch.yaml cannot be used\n  nosuch.yaml does not exist (check the path)\n"
    )


def test_wrong_usage_is_2_and_says_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["no-such-verb"],
        ["end", "nowhere"],
        ["end"],
        ["--nonsense"],
        ["end", "bad-parameter"],
    ):
        assert run(monkeypatch, *arguments) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert "Error:" in error
    assert run(monkeypatch) == 2
    assert "Verbs:" in capsys.readouterr().err


def test_an_interrupt_is_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "end", "interrupt") == 130  # as shells have it for SIGINT
    assert capsys.readouterr().err.strip() == "interrupted"


def test_an_interrupt_before_there_is_a_verb_is_no_trace_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_call", interrupted)
    assert run(monkeypatch, "end", "well") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_where_there_is_no_configuration_what_to_do_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trapd.settings.source.PLACES", ())
    monkeypatch.setattr("trapd.settings.source.find.__defaults__", ((),))
    assert run(monkeypatch, "status") == 78
    assert capsys.readouterr().err.count("give --config FILE") == 1


def test_a_fault_of_ours_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ends such a process with 1."""
    monkeypatch.setattr(sys, "argv", ["trapd", "end", "bug"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_reader_that_has_seen_enough_gets_no_trace(tmp_path: Path) -> None:
    """`trapd schema | head -1`: the schema is larger than the reader's patience."""
    program = "import sys; from trapd.cli import main; sys.argv = ['trapd', 'schema']; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 1
    assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_the_output_is_a_sentence() -> None:
    program = "import sys; from trapd.cli import main; sys.argv = ['trapd', 'schema']; main()"
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    said = "trapd: this cannot be written: No space left on device (make room, or write elsewhere)\n"
    assert (process.returncode, process.stderr) == (1, said)


LOADED = """
import sys
from trapd.cli import main
sys.argv = ["trapd", *{arguments}]
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
import json
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"]])
def test_the_first_answer_imports_nothing_slow(arguments: list[str]) -> None:
    """On a Pi Zero every library costs part of a second."""
    done = child("-c", LOADED.format(arguments=arguments))
    assert done.returncode == 0
    loaded = set(json.loads(done.stderr))
    slow = {"numpy", "pydantic", "paho", "PIL", "yaml", "rich", "sqlite3", "ai_edge_litert", "skimage"}
    assert not slow & loaded
    ours = {name for name in loaded if name.startswith("trapd")}
    assert ours == {"trapd", "trapd.cli", "trapd.cli.verbs", "trapd.errors", "trapd.frozen"}


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"trapd, version {__version__}\n"


def test_help_lists_every_verb_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    for verb, (_, line) in verbs._VERBS.items():
        (found,) = [text for text in out.splitlines() if text.split()[:1] == [verb]]
        assert line.split()[0] in found


@pytest.mark.parametrize("verb", sorted(verbs._VERBS))
def test_every_listed_verb_is_there_and_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    assert f"trapd {verb}" in capsys.readouterr().out


def test_python_dash_m_is_the_same_command(tmp_path: Path) -> None:
    """And a configuration that is not there is 78 in a process of its own."""
    assert child("-m", "trapd", "--version").stdout == f"trapd, version {__version__}\n"
    done = child("-m", "trapd", "status", "--config", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (78, "")
    assert "does not exist" in done.stderr
    assert child("-m", "trapd", "nonsense").returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_completion(shell: str) -> None:
    """A script for each shell, and the verbs that it asks for."""
    done = child("-m", "trapd", env={**os.environ, "_TRAPD_COMPLETE": f"{shell}_source"})
    assert done.returncode == 0
    assert "_TRAPD_COMPLETE" in done.stdout
    asking = {"_TRAPD_COMPLETE": f"{shell}_complete", "COMP_WORDS": "trapd st", "COMP_CWORD": "1"}
    if shell == "fish":
        asking["COMP_CWORD"] = "st"
    found = child("-m", "trapd", env={**os.environ, **asking}).stdout
    assert "status" in found
    assert "events" not in found


def test_the_version_is_told_without_a_large_library() -> None:
    code = (
        "import sys; from trapd.cli import main; sys.argv = ['trapd', '--version']\n"
        "try: main()\n"
        "finally: print(sorted({'numpy', 'pydantic', 'PIL', 'paho', 'yaml'} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[1:] == ["[]"]
