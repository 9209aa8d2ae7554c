"""What bench/ measures as the daemon's imports is what the real daemon imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.imports import ALL, WATCHING
from tests.system.daemon import Daemon, Heard, until

pytestmark = pytest.mark.slow

NOTES = """
import json, sys
from trapd.host.notify import ServiceManager
def note(name, method):
    def noted(self, *said, **more):
        with open("{folder}/" + name, "w") as file:
            json.dump(sorted(sys.modules), file)
        return method(self, *said, **more)
    return noted
for name in ("ready", "stopping"):
    setattr(ServiceManager, name, note(name, getattr(ServiceManager, name)))
sys.argv = ["trapd", *sys.argv[1:]]
from trapd.cli import main
main()
"""


def modules(code: str) -> set[str]:
    """What is there when this code has run."""
    program = f"{code}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def ours(found: set[str]) -> set[str]:
    return {name for name in found if name.startswith("trapd")}


def test_until_it_watches_and_after_its_first_bursts_it_has_imported_what_is_measured(
    daemon: Daemon, heard: Heard, tmp_path: Path
) -> None:
    daemon.program = ("-c", NOTES.format(folder=tmp_path))
    daemon.start()
    until(lambda: bool(heard.take().events), "an event")
    assert daemon.stop() == 0
    watching, everything = modules(WATCHING), modules(ALL)
    at_ready = set(json.loads((tmp_path / "ready").read_text()))
    # The link's own thread may be at work already.
    late = {name for name in at_ready if name.startswith(("trapd.backends.uplink", "trapd.backends.paho"))}
    # The first start of all tries its model in a child; later ones know that it passed.
    once = {"trapd.backends.model_probe"}
    assert ours(at_ready) - ours(watching) <= late | once
    at_end = set(json.loads((tmp_path / "stopping").read_text()))
    assert ours(at_end) - once <= ours(everything)


@pytest.mark.parametrize("code", [WATCHING, ALL])
def test_the_daemon_has_nothing_that_reads_configurations_or_command_lines(code: str) -> None:
    assert not {"pydantic", "yaml", "click", "rich", "http.client", "email"} & modules(code)


def test_it_watches_before_tls_mqtt_and_pictures_are_there() -> None:
    late = {"ssl", "paho", "PIL", "dataclasses", "trapd.interval", "trapd.backends.uplink_paho"}
    assert not late & modules(WATCHING)
