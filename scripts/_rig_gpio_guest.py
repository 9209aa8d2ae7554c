"""The proof inside the guest of scripts/rig-gpio: real edges, by the kernel and lgpio, to real photographs.

Root plays the hardware: it drives the simulated pins through sysfs. trapd runs as a user of group gpio. Each
line of the report begins with PASS or FAIL; the status is 1 if one fails.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from trapd.backends.gpio_chip import holder

CONFIG = Path("/sys/kernel/config/gpio-sim")
STORE = Path("/run/trapd/store")
FILE = Path("/run/trapd/config.yaml")
PULSES_S = (0.005, 0.1)
EDGES = 100
WITHIN_S = 120.0
_failed: list[str] = []

PROBE = """
import json, os, sys, time
from trapd.backends.sensor_gpiozero import GpioSensor
from trapd.backends.lamp_gpiozero import GpioLamp
from trapd.errors import SensorUnavailable
from trapd.host.clock import SystemClock
here, again = os.getcwd(), sys.argv[2:] == ["again"]
pins = [int(pin) for pin in sys.argv[1].split(",")]
seen = []
sensor = GpioSensor(pins=pins, active_high=True, min_pulse_ms=0, clock=SystemClock())
try:
    sensor.start(lambda trigger: seen.append((trigger.boot_ns, SystemClock().boot_ns())))
except SensorUnavailable as error:
    print(json.dumps({"error": error.message, "hint": error.hint}), flush=True)
    sys.exit()
print(json.dumps({"ready": True, "stayed": os.getcwd() == here, "again": again}), flush=True)
while line := sys.stdin.readline().strip():
    if line == "seen":
        print(json.dumps(seen), flush=True)
    if line == "light":
        lamp = GpioLamp(pin=24)
        lamp.light(True)
        print(json.dumps("lit"), flush=True)
    if line == "dark":
        lamp.close()
        print(json.dumps("dark"), flush=True)
    if line == "check":
        try:
            sensor.check()
            print(json.dumps({}), flush=True)
        except SensorUnavailable as error:
            print(json.dumps({"error": error.message, "partly": error.partly}), flush=True)
    if line in ("restart", "close"):
        if line == "close":
            sensor.close()
        os.execv(sys.executable, [sys.executable, "/rig/probe.py", sys.argv[1], "again"])
"""


def say(line: str) -> None:
    """One line on the console."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(name: str, good: bool, found: object = "") -> None:
    """One line of the report."""
    if not good:
        _failed.append(name)
    say(f"{'PASS' if good else 'FAIL'} {name}: {found}")


def make_chip(name: str, label: str) -> Path:
    """A simulated chip; its folder in sysfs, where the pins are driven."""
    chip = CONFIG / name
    bank = chip / "bank0"
    bank.mkdir(parents=True)
    (bank / "num_lines").write_text("54")
    (bank / "label").write_text(label)
    (chip / "live").write_text("1")
    device = (chip / "dev_name").read_text().strip()
    number = (bank / "chip_name").read_text().strip()
    os.chown(f"/dev/{number}", 0, pwd.getpwnam("trapd").pw_gid)
    subprocess.run(["chgrp", "gpio", f"/dev/{number}"], check=True)
    Path(f"/dev/{number}").chmod(0o660)
    say(f"rig-gpio: {number} is {label}")
    return Path("/sys/devices/platform") / device / number


def drive(chip: Path, pin: int, high: bool) -> None:
    """What the PIR does."""
    (chip / f"sim_gpio{pin}" / "pull").write_text("pull-up" if high else "pull-down")


def pulse(chip: Path, pin: int, seconds: float) -> None:
    """Up, and down again after so long."""
    drive(chip, pin, True)
    time.sleep(seconds)
    drive(chip, pin, False)


def as_user(user: str, *command: str) -> list[str]:
    """The command, run as somebody of their groups alone."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *command]


def trapd(*arguments: str) -> dict[str, Any]:
    """What a verb of trapd prints as JSON."""
    command = as_user("trapd", "python3", "-m", "trapd", *arguments, "--config", str(FILE), "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/run/trapd")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def until(what: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    end_s = time.monotonic() + WITHIN_S
    while not what():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def photographs() -> int:
    """How many lie on the card."""
    return sum(1 for _ in STORE.glob("media/*/*.jpg"))


def interrupts() -> int:
    """How often the simulated chip has called the kernel, for any pin."""
    lines = Path("/proc/interrupts").read_text().splitlines()
    return sum(int(n) for line in lines if "gpio" in line for n in line.split()[1:] if n.isdecimal())


def watched() -> int:
    """Of how many pins the kernel tells the edges: lgpio has a pin for a while before it asks for them."""
    lines = Path("/proc/interrupts").read_text().splitlines()
    return sum(line.split()[-1:] == ["lg"] for line in lines)


def prove_daemon(chip: Path) -> None:
    """Every edge becomes a photograph, although the LED's pin is in use and asked for again and again."""
    other = Probe("trapd", "24")
    before_it = watched()
    log = Path("/run/trapd/log").open("wb")  # noqa: SIM115 - the daemon's, for as long as it runs
    command = as_user("trapd", "python3", "-m", "trapd", "run", "--config", "config.yaml")
    with subprocess.Popen(command, stdout=log, stderr=log, cwd="/run/trapd") as daemon:
        up = until(lambda: " is up" in Path("/run/trapd/log").read_text())
        tell("the daemon is up", up)
        # Up does not wait for the sensor: its libraries take a while to load here.
        device = Path("/dev") / chip.name
        tell("it has the pin", until(lambda: holder(device, 17) != ""), holder(device, 17))
        tell("it hears the pin's edges", until(lambda: watched() > before_it))
        time.sleep(5.0)
        seen, twice = 0, 0
        for number in range(EDGES):
            before, heard, began_s = photographs(), interrupts(), time.monotonic()
            pulse(chip, 17, PULSES_S[number % len(PULSES_S)])
            drove_s = time.monotonic() - began_s
            until_s = time.monotonic() + 30.0  # the host may be busy with other things
            while photographs() == before and time.monotonic() < until_s:
                time.sleep(0.02)
            # The transaction; and no PIR is faster. On a busy host longer: the kernel asks for the level when
            # it comes to it, and takes a falling edge that the next pulse has overtaken for a rising one.
            time.sleep(max(0.4, time.monotonic() - began_s))
            more = photographs() - before
            seen += more > 0
            if more != 1:
                twice += more > 1
                kernel = f"interrupts: {interrupts() - heard}; driven for {drove_s:.3f} s"
                say(f"rig-gpio: pulse {number} came to {more} photographs; {kernel}")
        tell(f"{EDGES} of {EDGES} edges, half of them 5 ms, are photographs", seen == EDGES, seen)
        # A pulse that a busy host makes longer than a quarter of a second, and whose beginning the kernel
        # looks at only when it is over, cannot be told from two.
        tell("hardly one is heard twice", twice <= EDGES // 50, twice)
        told = trapd("status")
        counted = told["triggers"]
        tell("each once, or refused as busy", set(counted["refused"]) <= {"busy"}, counted)
        found = {finding["name"]: finding for finding in trapd("doctor")["findings"]}
        tell("doctor beside the daemon", found["sensor"]["ok"], found["sensor"])
        daemon.terminate()
        tell("it stops in good order", daemon.wait(30) == 0)
    tell("it has told of the LED's pin", "pin 24 is in use" in Path("/run/trapd/log").read_text())
    other.end()
    found = {finding["name"]: finding for finding in trapd("doctor")["findings"]}
    tell("doctor without the daemon", found["sensor"]["ok"], found["sensor"])
    if _failed:
        say(Path("/run/trapd/log").read_text()[-4000:])


class Probe:
    """The sensor alone, in a process that can be told to begin anew."""

    def __init__(self, user: str, pins: str = "22") -> None:
        self.process = subprocess.Popen(
            as_user(user, "python3", "/rig/probe.py", pins),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/run/trapd",
        )
        self.first = self.hear()

    def hear(self) -> Any:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"rig-gpio: the probe ended with {self.process.wait(10)}")
        return json.loads(line)

    def say(self, word: str) -> Any:
        if self.process.stdin is not None:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def prove_sensor(chip: Path) -> None:
    """Times, restarts, and what is refused."""
    probe = Probe("trapd")
    tell("the process stays in its folder", probe.first.get("stayed") is True, probe.first)
    driven = []
    for _ in range(20):
        driven.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        pulse(chip, 22, 0.005)
        time.sleep(0.4)
    seen = probe.say("seen")
    tell("20 of 20 edges", len(seen) == 20, len(seen))
    late = [(at - put) / 1e6 for put, (at, _) in zip(driven, seen, strict=False)]
    heard = [(told - at) / 1e6 for at, told in seen]
    say(f"rig-gpio: edge after its drive {max(late):.2f} ms at most, heard {max(heard):.2f} ms later at most")
    tell(
        "a trigger's time is its edge's", min(late) >= 0 and median(late) < 50, [round(ms, 2) for ms in late]
    )
    second = Probe("trapd")
    tell("a pin in use is named", "pin 22 is in use" in str(second.first.get("error")), second.first)
    second.end()
    for word in ("restart", "close"):  # as a crash-only process leaves the pin, and as the daemon does
        probe.say(word)
        pulse(chip, 22, 0.005)
        time.sleep(0.3)
        seen = probe.say("seen")
        tell(f"after exec ({word}) the pin is watched again", len(seen) == 1, seen)
    probe.end()
    stranger = Probe("stranger")
    tell("no permission names the group", "group gpio" in str(stranger.first.get("hint")), stranger.first)
    stranger.end()


def prove_pins(chip: Path) -> None:
    """One of two pins is in use: the other is watched, and both are as soon as it is free."""
    other, probe = Probe("trapd"), Probe("trapd", "22,23")
    said = probe.say("check")
    tell("one pin in use is told", said.get("partly") is True and "pin 22 is in use" in said["error"], said)
    pulse(chip, 23, 0.005)
    time.sleep(0.4)
    seen = probe.say("seen")
    tell("the other pin is watched", len(seen) == 1, seen)
    other.end()
    said = probe.say("check")
    tell("the pin is had when it is free", said == {}, said)
    pulse(chip, 22, 0.005)
    time.sleep(0.4)
    seen = probe.say("seen")
    tell("both are watched", len(seen) == 2, seen)
    for word in ("light", "dark"):
        said = probe.say(word)
        for pin in (22, 23):
            pulse(chip, pin, 0.005)
            time.sleep(0.4)
        before, seen = len(seen), probe.say("seen")
        tell(f"the sensor is none of the LED's business ({said})", len(seen) == before + 2, seen[before:])
    probe.end()


def main() -> int:
    """The whole proof."""
    make_chip("decoy", "gpio-expander")
    chip = make_chip("pi", "pinctrl-bcm2711")
    FILE.parent.mkdir()
    FILE.write_text(
        "unit: {id: rig-gpio}\n"
        "mqtt: {host: 127.0.0.1, port: 1, tls: {enabled: false}}\n"
        f"storage: {{path: {STORE}, min_free_bytes: 1000000}}\n"
        "sensor: {backend: gpiozero, pins: [17], warmup_s: 0}\n"
        "trigger: {while_active: false}\n"
        "camera: {backend: replay, path: /rig/photographs}\n"
        "burst: {frames: 1, interval_s: 0}\n"
        "indicator: {led_pin: 24}\n"
        "filter: {backend: none}\n"
    )
    Path("/rig/probe.py").write_text(PROBE)
    subprocess.run(["chown", "-R", "trapd:trapd", str(FILE.parent)], check=True)
    prove_sensor(chip)
    prove_pins(chip)
    prove_daemon(chip)
    say(f"rig-gpio: {'all is well' if not _failed else 'failed: ' + '; '.join(_failed)}")
    return 1 if _failed else 0


if __name__ == "__main__":
    sys.exit(main())
