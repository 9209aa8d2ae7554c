"""What holds for every test: Hypothesis's profiles, the rule on skips, tests counted by backend, canaries.

Needs nothing but pytest and Hypothesis: it also serves the small environment of tflite-runtime.
"""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import canary, figures

SKIPS = Path(__file__).with_name("skips.txt")
PORTS_FOLDER = "contracts"

# The machine is shared and slow at times: a time limit for one example would only fail at random.
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile(
    "prove", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("prove" if os.environ.get("TRAPD_PROVE") == "1" else "quick")

canary.overhear()

_ran: Counter[str] = Counter()
_backend_of: dict[str, str] = {}


def listed_skips(text: str) -> dict[str, str]:
    """Pattern of a test's id -> its reason. A line is `PATTERN: REASON`; `#` begins a comment line."""
    listed = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, separator, reason = line.partition(": ")
        if not separator or not reason.strip():
            raise pytest.UsageError(f"{SKIPS.name}: a line is `PATTERN: REASON`, not {line!r}")
        listed[pattern.strip()] = reason.strip()
    return listed


def _skips_must_be_listed() -> bool:
    return os.environ.get("CI") == "true" and os.environ.get("TRAPD_TEST_ALL") == "1"


def _forbid_unlisted_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not _skips_must_be_listed():
        return
    if any(fnmatch.fnmatchcase(report.nodeid, pattern) for pattern in listed_skips(SKIPS.read_text("utf-8"))):
        return
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} skipped ({why}) and is not listed in tests/{SKIPS.name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI an unlisted skip is a failure."""
    report = yield
    _forbid_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI an unlisted skip of a whole file is a failure too."""
    report = yield
    _forbid_unlisted_skip(report)
    return report


def _backend(item: pytest.Item) -> str | None:
    """`port[backend]` of a test in tests/contracts; None for any other.

    The backend is the test's parameter `backend` or `runtime`, or the one that is named as the port.
    """
    if item.path.parent.name != PORTS_FOLDER:
        return None
    port = item.path.stem.removeprefix("test_")
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params if callspec else {}
    backend = next((parameters[name] for name in ("backend", "runtime", port) if name in parameters), "")
    name = backend if isinstance(backend, str) else getattr(backend, "__name__", "")
    return f"{port}[{name}]" if name else port


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note, before anything runs, which backend each test belongs to."""
    for item in items:
        backend = _backend(item)
        if backend is not None:
            _backend_of[item.nodeid] = backend


@pytest.fixture(scope="session", autouse=True)
def _canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every daemon and verb finds the password where systemd lays it; at the end all folders are searched."""
    credentials = canary.hides(tmp_path_factory.mktemp("credentials"))
    (credentials / "mqtt-password").write_text(canary.PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        yield
    canary.look_through(tmp_path_factory.getbasetemp())
    assert canary.hits() == []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of the last test too, what was printed while it ended."""
    if canary.hits() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.testscollected:
        figures.tell(canary.report())
        for hit in canary.hits():
            figures.tell(f"CAME OUT: {hit}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count a test as run when its own body came to an end; overhear what it printed and logged."""
    for title, text in report.sections:
        canary.listen(f"{report.nodeid}: {title}", text.encode("utf-8", "surrogateescape"))
    if report.when == "call" and not report.skipped and report.nodeid in _backend_of:
        _ran[_backend_of[report.nodeid]] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was proved, and how many tests ran per backend; scripts/test gathers it from all its runs."""
    _write(terminalreporter, "proofs", list(figures.report()), "TRAPD_TEST_FIGURES")
    lines = [f"{backend}: {count}" for backend, count in sorted(_ran.items())]
    _write(terminalreporter, "tests run, by backend", lines, "TRAPD_TEST_COUNTS")


def _write(reporter: pytest.TerminalReporter, title: str, lines: list[str], variable: str) -> None:
    """A section of the report, and the same in the file that this variable of the environment names."""
    if not lines:
        return
    reporter.section(title)
    for line in lines:
        reporter.write_line(line)
    if copy := os.environ.get(variable):
        with Path(copy).open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
