"""The package on a real Debian 13 with real systemd: from its installation to its purge, in this order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests import canary, figures
from tests.canary import PASSWORD
from tests.rig import root, unit
from tests.rig.machine import Machine, missing_tools
from tests.rig.unit import (
    CONFIG,
    CREDENTIAL,
    MEMORY_OF_THE_CAMERA,
    PACKAGE,
    PHOTOGRAPHS,
    REAL_CAMERA,
    STAND_INS,
    UNIT,
    Unit,
    document,
)
from trapd.demo.photographs import SIZE as PHOTOGRAPH_SIZE

pytestmark = [pytest.mark.slow, pytest.mark.rig]

UNITS = ("trapd.service", "trapd-reboot.path", "trapd-reboot.service")
# Debian 13 has the real picamera2 on libcamera's virtual camera; on 12 photographs are replayed.
DEBIANS = ("13", "12") if os.environ.get("TRAPD_PROVE") == "1" else ("13",)
EXPOSURE = "20"  # tenths: 2.0
DENIED = (
    "etc", "usr", "configuration", "packet", "bluetooth", "code_in_data", "namespace", "set_clock",
    "tunables", "processes_of_others",
)  # fmt: skip
ALLOWED = ("state", "runtime", "inet", "inet6", "unix", "ask_clock", "cpuinfo")


@pytest.fixture(scope="module", params=DEBIANS)
def rig(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Unit]:
    if not unit.is_x86_64():
        pytest.skip("the rig's root is for x86_64")
    made = root.path()
    if request.param == "12":
        made = unit.bookworm()
    if missing := missing_tools():
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    shared = tmp_path_factory.mktemp("shared")
    shared.parent.chmod(0o755)
    unit.prepare(shared)
    with Machine(made, shared) as machine:
        yield Unit(machine, REAL_CAMERA if request.param == "13" else PHOTOGRAPHS)
        machine.told("journalctl", "--no-pager")  # overheard, as all that commands say
        canary.look_through(shared)
    shutil.rmtree(shared, ignore_errors=True)


@pytest.fixture(scope="module")
def installed(rig: Unit) -> str:
    """What dpkg said."""
    rig.machine.run("dpkg", "--install", *(f"/shared/{name}.deb" for name in STAND_INS))
    began_s = time.monotonic()
    said = rig.machine.told("dpkg", "--install", PACKAGE)
    took_s = time.monotonic() - began_s
    version = rig.machine.told("systemctl", "--version").splitlines()[0]
    figures.tell(f"package on a real Debian: installed in {took_s:.0f} s, {version}")
    return said


@pytest.fixture(scope="module")
def running(rig: Unit, installed: str) -> Unit:
    """The unit at work, with its broker; systemd has heard READY."""
    assert installed
    rig.begin_broker()
    rig.machine.write(CREDENTIAL, PASSWORD + "\n")
    rig.configure()
    camera = (f"Environment={MEMORY_OF_THE_CAMERA}",) if rig.camera == REAL_CAMERA else ()
    rig.drop_in("WatchdogSec=4", "RestartSec=1", *camera)
    rig.systemctl("restart", "trapd")
    return rig


def test_installing_it_needs_no_network_and_says_what_is_to_be_configured(rig: Unit, installed: str) -> None:
    assert "mqtt.host" in installed
    assert f"{CONFIG} is to be completed first" in installed
    assert rig.machine.property("trapd.service", "ActiveState") == "inactive"
    assert rig.machine.told("systemctl", "is-enabled", "trapd.service", "trapd-reboot.path").split() == [
        "enabled",
        "enabled",
    ]
    groups = rig.machine.told("id", "--name", "--groups", "trapd").split()
    assert {"trapd", "gpio", "video"} <= set(groups)
    assert rig.machine.told("stat", "-c", "%a %U %G", CONFIG) == "640 root trapd"
    assert rig.machine.told("trapd", "--version").startswith("trapd, version")
    # apt tells beforehand what it comes to, with the environment.
    size_kb = int(rig.machine.told("dpkg-query", "--show", "--showformat=${Installed-Size}", "trapd"))
    found_kb = int(rig.machine.told("du", "-sk", "/usr/lib/trapd").split()[0])
    assert 0.9 < size_kb / found_kb < 1.1
    # Compiled while it is installed, also what nobody has imported yet: the unit's user could not write it.
    folder = "/usr/lib/trapd/current/lib/python3*/site-packages/trapd/stages/deliver/__pycache__"
    compiled = f"{folder}/stage.cpython-*.pyc"
    assert rig.machine.told("sh", "-c", f"ls {compiled}").count("stage.cpython") == 1


def test_systemd_finds_no_fault_in_the_units(rig: Unit, installed: str) -> None:
    verified = rig.machine.run("systemd-analyze", "verify", *UNITS)
    assert verified.stdout + verified.stderr == ""
    rig.machine.run("systemd-analyze", "security", f"--threshold={EXPOSURE}", "trapd.service")


def test_a_captured_photograph_goes_from_a_trigger_to_the_receiver_over_tls(running: Unit) -> None:
    running.machine.until(lambda: len(running.events_heard()) >= 2, "two events at the receiver")
    assert running.machine.property("trapd.service", "NotifyAccess") == "main"
    event = next(iter(running.events_heard().values()))
    (medium,) = event["media"]
    running.machine.until(lambda: bool(running.heard(f"thumb/{event['id']}")), "its thumbnail")
    assert running.heard(f"thumb/{event['id']}")[0].startswith(b"\xff\xd8")
    sums = running.machine.told("sh", "-c", "sha256sum /var/lib/trapd/media/*/*.jpg")
    assert medium["sha256"] in sums
    size = (1280, 720) if running.camera == REAL_CAMERA else PHOTOGRAPH_SIZE
    assert (medium["width"], medium["height"]) == size
    running.machine.until(lambda: running.status().startswith("armed, link up, "), "a line for people")


def test_every_stack_is_in_the_journal_when_asked_for(running: Unit) -> None:
    running.systemctl("kill", "--kill-whom=main", "--signal=SIGUSR1", "trapd")
    running.machine.until(lambda: _said(running, "in watch"), "the main thread's stack")
    assert _said(running, "stages/capture/stage.py")
    assert running.restarts() == 0


def test_a_hang_is_ended_by_the_watchdog_and_nothing_is_lost(running: Unit) -> None:
    before = len(running.events())
    running.systemctl("kill", "--kill-whom=main", "--signal=SIGSTOP", "trapd")
    began_s = time.monotonic()
    running.machine.until(lambda: running.restarts() == 1, "systemd starts it again")
    running.machine.until(lambda: len(running.events()) > before + 2, "bursts of the second life")
    figures.tell(f"hang under systemd: bursts again after {time.monotonic() - began_s:.0f} s")
    told = running.machine.told("journalctl", "--no-pager", "--output", "cat", "--unit", "trapd")
    assert "Watchdog timeout" in told
    running.systemctl("stop", "trapd")
    stored = running.events()
    due = {event["id"] for event in stored if event["n"] is not None}
    running.machine.until(lambda: due <= set(running.events_heard()), "every event at the receiver")
    assert sorted(event["n"] for event in running.events_heard().values()) == list(range(1, len(due) + 1))
    assert sorted(event["seq"] for event in stored) == list(range(1, len(stored) + 1))


def test_it_stops_within_ten_seconds(running: Unit) -> None:
    running.systemctl("start", "trapd")
    before = len(running.events())
    running.machine.until(lambda: len(running.events()) > before, "a burst")
    began_s = time.monotonic()
    running.systemctl("stop", "trapd")
    assert time.monotonic() - began_s < 10
    assert running.machine.property("trapd.service", "Result") == "success"
    running.machine.until(lambda: running.heard("availability")[-1] == b"stopped", "its last word")


def test_the_sandbox_holds(running: Unit) -> None:
    """A process with every line of the unit's but its command."""
    text = running.machine.told("cat", "/usr/lib/systemd/system/trapd.service")
    lines = [
        line for line in text.splitlines() if not line.startswith(("ExecStart=", "Type=", "WatchdogSec="))
    ]
    lines = [line.replace("Restart=always", "Restart=no") for line in lines]
    at = lines.index("[Service]") + 1
    lines[at:at] = ["Type=oneshot", "ExecStart=/usr/lib/trapd/current/bin/python /shared/probe.py"]
    running.machine.write("/home" + "/ranger/secret", "x")
    running.machine.write("/run/systemd/system/probe.service", "\n".join(lines))
    running.systemctl("daemon-reload")
    running.systemctl("start", "probe")
    (told,) = running.machine.told(
        "journalctl", "--unit", "probe", "--output", "cat", "--no-pager", "--grep", '^{"user"'
    ).splitlines()
    found: dict[str, Any] = json.loads(told)
    assert {name: found[name] for name in DENIED} == dict.fromkeys(DENIED, False)
    assert {name: found[name] for name in ALLOWED} == dict.fromkeys(ALLOWED, True)
    assert found["user"] != 0
    assert found["homes"] == []
    assert found["credential"] == hashlib.sha256(f"{PASSWORD}\n".encode()).hexdigest()


def test_a_configuration_from_afar_is_no_stop_to_systemd(running: Unit) -> None:
    """The process begins anew in its place; systemd must neither wait for its end nor kill it."""
    machine = running.machine
    running.systemctl("start", "trapd")
    machine.until(lambda: running.status().startswith("armed, link up, "), "the link")
    process = machine.property("trapd.service", "MainPID")
    running.say("config/desired", json.dumps({"v": 1, "version": 1, "txn": "a", "doc": {"heartbeat_s": 60}}))
    machine.until(lambda: _said(running, "version 1 has proved itself and is kept"), "the end of its trial")
    assert machine.property("trapd.service", "ActiveState") == "active"
    assert machine.property("trapd.service", "MainPID") == process
    running.say("config/desired", "")
    running.systemctl("restart", "trapd")
    assert machine.property("trapd.service", "Result") == "success"
    running.systemctl("stop", "trapd")


def test_a_bad_configuration_ends_in_78_and_is_not_tried_again(running: Unit) -> None:
    running.configure(camera={"sise": [1, 2]})
    running.systemctl("start", "trapd", check=False)
    running.machine.until(
        lambda: running.machine.property("trapd.service", "ActiveState") == "failed", "its end"
    )
    assert running.machine.property("trapd.service", "ExecMainStatus") == "78"
    assert _said(running, "camera.sise")
    starts = _starts(running)
    time.sleep(3)  # three times what systemd waits before it starts a unit again
    assert _starts(running) == starts
    assert running.machine.property("trapd.service", "ActiveState") == "failed"


def test_a_missing_credential_is_an_alert_and_no_end(running: Unit) -> None:
    running.machine.run("mv", CREDENTIAL, "/var/put-away")
    running.configure()
    running.systemctl("restart", "trapd")
    running.machine.until(lambda: "alerts: " in running.status(), "an alert")
    assert "no link" in running.status()
    assert running.restarts() == 0
    running.machine.run("mv", "/var/put-away", CREDENTIAL)
    running.systemctl("restart", "trapd")
    running.machine.until(lambda: running.status().startswith("armed, link up, "), "the link")


def test_warnings_are_warnings_in_the_journal(running: Unit) -> None:
    entries = running.journal()
    assert {entry["PRIORITY"] for entry in entries if "alert " in str(entry["MESSAGE"])} >= {"4"}
    assert not any(str(entry["MESSAGE"]).startswith("<") for entry in entries)


def test_the_cameras_library_does_not_fill_the_journal(running: Unit) -> None:
    """It writes by itself, past trapd's limit for what repeats; two lines at each look for a camera."""
    told = running.machine.told("journalctl", "--no-pager", "--all", "--output", "cat", "--unit", "trapd")
    assert "trapd: ridge-07 is up" in told
    assert "libcamera v" not in told


def test_a_request_for_a_reboot_is_roots_to_carry_out(running: Unit) -> None:
    """What stands in for the reboot is a file."""
    running.drop_in(
        "ExecStart=", "ExecStart=/bin/rm -f /run/trapd/reboot", "ExecStart=/usr/bin/touch /run/rebooted",
        unit="trapd-reboot.service",
    )  # fmt: skip
    assert running.machine.property("trapd-reboot.path", "ActiveState") == "active"
    running.machine.run("runuser", "-u", "trapd", "--", "touch", "/run/trapd/reboot")
    running.machine.until(
        lambda: running.machine.run("test", "-e", "/run/rebooted", check=False).returncode == 0, "a reboot"
    )
    assert running.machine.run("test", "-e", "/run/trapd/reboot", check=False).returncode == 1
    assert running.machine.run("runuser", "-u", "trapd", "--", "systemctl", "reboot", check=False).returncode


def test_an_upgrade_keeps_everything_and_restarts(running: Unit) -> None:
    before = running.events()
    life = running.machine.property("trapd.service", "InvocationID")
    configuration = running.machine.told("cat", CONFIG)
    environment = running.machine.told("readlink", "/usr/lib/trapd/current")
    running.machine.run("dpkg", "--install", PACKAGE)
    assert running.machine.property("trapd.service", "ActiveState") == "active"
    assert running.machine.property("trapd.service", "InvocationID") != life
    assert running.machine.told("cat", CONFIG) == configuration
    assert running.machine.told("readlink", "/usr/lib/trapd/current") != environment
    assert len(running.machine.told("ls", "/usr/lib/trapd/environments").split()) == 1
    ids = {event["id"] for event in running.events()}
    assert {event["id"] for event in before} <= ids


def test_another_python_makes_the_environment_anew_and_restarts(running: Unit) -> None:
    """As when Debian 12 becomes 13: dpkg tells the package that /usr/bin/python3 has changed."""
    tell = ("dpkg-trigger", "--by-package=python3-minimal", "--no-await", "/usr/bin/python3")

    def life() -> tuple[str, str]:
        environment = running.machine.told("readlink", "/usr/lib/trapd/current")
        return environment, running.machine.property("trapd.service", "InvocationID")

    before = life()
    running.machine.run(*tell)
    running.machine.run("dpkg", "--triggers-only", "trapd")
    assert life() == before  # the same Python: nothing to do
    running.machine.write("/usr/lib/trapd/current/python-version", "3.9")
    running.machine.run(*tell)
    running.machine.run("dpkg", "--triggers-only", "trapd")
    after = life()
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert running.machine.property("trapd.service", "ActiveState") == "active"
    assert len(running.machine.told("ls", "/usr/lib/trapd/environments").split()) == 1


def test_removed_and_installed_again_it_is_as_it_was(running: Unit) -> None:
    """Also from a new version that was unpacked and no more: dpkg runs no prerm for it."""
    machine = running.machine
    units = ("trapd.service", "trapd-reboot.path")
    machine.run("dpkg", "--unpack", PACKAGE)
    machine.run("dpkg", "--remove", "trapd")
    assert [machine.property(each, "ActiveState") for each in units] == ["inactive", "inactive"]
    assert machine.run("test", "-e", "/usr/lib/trapd", check=False).returncode == 1
    machine.run("dpkg", "--install", PACKAGE)
    assert machine.told("systemctl", "is-enabled", *units).split() == ["enabled", "enabled"]
    assert [machine.property(each, "ActiveState") for each in units] == ["active", "active"]


def test_removal_keeps_what_was_captured_and_purging_says_what_it_deletes(running: Unit) -> None:
    said = running.machine.told("dpkg", "--remove", "trapd")
    assert "what was captured stays in /var/lib/trapd" in said
    photographs = running.machine.told("sh", "-c", "ls /var/lib/trapd/media/*/*.jpg").splitlines()
    assert photographs
    assert all(UNIT in name for name in photographs)
    assert running.machine.run("test", "-e", "/usr/lib/trapd/current", check=False).returncode == 1
    assert running.machine.run("test", "-e", "/usr/bin/trapd", check=False).returncode == 1
    said = running.machine.told("dpkg", "--purge", "trapd")
    assert f"deleting /var/lib/trapd: {len(photographs)} photographs" in said
    assert "deleting /etc/trapd" in said
    assert f"deleting {CREDENTIAL}" in said
    left = running.machine.told("find", "/etc", "/usr", "/var/lib", "-xdev", "-name", "*trapd*")
    assert [line for line in left.splitlines() if "rig" not in line] == []


def test_the_two_commands_of_the_documentation_are_enough(running: Unit) -> None:
    """docs/install.md, on a machine without a trace of it; and the third, where a password is wanted."""
    machine = running.machine
    machine.run("rm", "-rf", "/etc/credstore")  # Debian 12 has none
    written = document(camera=running.camera, mqtt={"tls": {"enabled": True, "ca_file": "/etc/trapd/ca.crt"}})
    machine.write("/carried/config.yaml", yaml.safe_dump(written))
    machine.run("cp", "/shared/tls/ca.pem", "/carried/ca.crt")
    machine.write("/carried/password", PASSWORD)
    machine.run("sh", "-c", "umask 077 && cd /carried && install -D -m 640 -t /etc/trapd config.yaml ca.crt")
    machine.run("dpkg", "--install", PACKAGE)
    machine.until(lambda: machine.property("trapd.service", "ActiveState") == "active", "the unit")
    machine.run("install", "-m", "600", "/carried/password", "/etc/credstore/trapd.mqtt-password")
    machine.run("systemctl", "restart", "trapd")
    machine.until(lambda: running.status().startswith("armed, link up, "), "the link")
    # The password is root's alone: to the unit's user a broker that wants one is no fault of the unit.
    doctor = ("env", MEMORY_OF_THE_CAMERA, "trapd", "doctor")
    machine.run(*doctor)
    machine.run("runuser", "-u", "trapd", "--", *doctor)


def _said(rig: Unit, text: str) -> bool:
    return any(text in str(entry["MESSAGE"]) for entry in rig.journal())


def _starts(rig: Unit) -> int:
    told = rig.machine.told("journalctl", "--no-pager", "--output", "cat", "--unit", "trapd")
    return told.count("Starting trapd.service")
