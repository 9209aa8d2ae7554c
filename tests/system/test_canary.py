"""A password and a private key are searched for in everything that a unit publishes, logs, prints and stores.

One whole run, with everything that goes near them: a link with both, a wrong password, a broken configuration
that holds them where they do not belong, a trial, every verb, the dump of all threads. A leak that is planted
must be found by the same search. That search goes on over all that the other tests hear (tests/canary.py).
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import canary
from tests.canary import MISPLACED, PASSWORD
from tests.figures import tell
from tests.system.daemon import BASE, until
from tests.system.site import WITHIN_S, Kit, Site, running

pytestmark = [pytest.mark.slow, pytest.mark.rig]

NEVER_BY_THE_UNIT = (f"{BASE}/config/desired", f"{BASE}/cmd/")

# The password's way into the client, with a line too many.
LEAK = """
import logging
from trapd.backends.uplink_account import Account
read = Account.read_password
def told(account):
    found = read(account)
    logging.getLogger("trapd.uplink").debug("connecting with " + str(found))
    return found
Account.read_password = told
from trapd.__main__ import main
main()
"""


def secrets(key: Path) -> dict[str, bytes]:
    """All that must not come out here."""
    return (
        canary.forms("password", PASSWORD)
        | canary.forms("misplaced password", MISPLACED)
        | canary.forms_of_key("key", key.read_bytes())
    )


class Everything:
    """All that came out, by where it came out."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.printed: dict[str, bytes] = {}

    def verb(self, *arguments: str, config: Path | None = None) -> bytes:
        """Run a verb on the unit; what it prints on either stream."""
        where = () if config is None else ("--config", str(config))
        done = subprocess.run(
            [sys.executable, "-m", "trapd", *arguments, *where],
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        self.printed[f"trapd {' '.join(arguments)} #{len(self.printed)}"] = done.stdout + b"\n" + done.stderr
        return done.stdout

    def said(self) -> dict[str, bytes]:
        """Printed, logged, published and stored."""
        found = dict(self.printed)
        found["the log"] = self.site.daemon.log.read_bytes()
        found["the broker's log"] = self.site.broker.output.read_bytes()
        for number, message in enumerate(self.site.take()):
            if not message.topic.startswith(NEVER_BY_THE_UNIT):
                found[f"{message.topic} #{number}"] = message.topic.encode() + b"\n" + message.payload
        for file in self.site.daemon.root.rglob("*"):
            if file.is_file():
                found[str(file.relative_to(self.site.daemon.root))] = file.read_bytes()
        return found


@pytest.fixture
def site(tmp_path: Path, kit: Kit) -> Iterator[Site]:
    remote = {"locked": [], "confirm_s": 10}
    made = Site(tmp_path / "site", kit, "log_type all", log_level="debug", heartbeat_s=2, remote=remote)
    with running(made) as site:
        yield site


def test_no_secret_comes_out_anywhere(site: Site, tmp_path: Path) -> None:
    everything = Everything(site)
    key = site.kit.certificates.client_key
    _mistakes_of_the_operator(site, key)
    _a_password_that_is_wrong_for_a_while(site)
    assert site.daemon.process is not None
    site.daemon.process.send_signal(signal.SIGUSR1)
    until(lambda: b"most recent call first" in site.daemon.log.read_bytes(), "the dump of all threads")
    site.desire(1, {"mqtt": {"port": 9}})  # a trial that fails
    began_s = site.told(1, 202).at_s
    site.reported("rolled_back", 0, after_s=began_s)
    for verb in (
        ("status",), ("status", "--json"), ("status", "--trail"), ("events", "--json"), ("check",),
        ("check", "--json"), ("doctor",), ("doctor", "--json"), ("model", "list"),
    ):  # fmt: skip
        everything.verb(*verb, config=site.daemon.config)
    everything.verb("schema")
    wrong = canary.hides(tmp_path / "wrong")
    wrong.mkdir()
    _what_is_wrong_with_the_files(everything, key, wrong)
    assert site.daemon.stop() == 0
    said = everything.said()
    looked_for = secrets(key)
    found = [leak for where, content in said.items() for leak in canary.leaks(where, content, looked_for)]
    assert not found, "\n".join(found)
    kinds = {name.split(" #")[0] for name in said}
    assert {f"{BASE}/{leaf}" for leaf in ("event", "state", "birth", "trail", "config/reported")} <= kinds
    size = sum(map(len, said.values()))
    tell(f"canary: {len(looked_for)} forms in {len(said)} outputs of {size / 1e6:.1f} MB: 0 hits")


def _mistakes_of_the_operator(site: Site, key: Path) -> None:
    """The password where it does not belong: refused, and not repeated."""
    docs: tuple[dict[str, Any], ...] = (
        {"mqtt": {"password": MISPLACED}},
        {"mqtt": {"password_file": MISPLACED}},
        {"mqtt": {"host": f"unit:{MISPLACED}@broker.example.org"}},
        {"mqtt": {"username": f"{MISPLACED}\n"}},
        {"mqtt": {"tls": {"key_file": key.read_text()}}},
        {"remote": {"trusted_keys": [MISPLACED, key.read_text()]}},
    )
    for number, doc in enumerate(docs):
        assert site.ask("config_patch", f"m{number}", base=0, version=9, patch=doc)["code"] in (400, 403)
        site.desire(9, doc, txn=f"d{number}")
    assert site.ask("status", "s")["code"] == 200
    until(lambda: site.attempts()[-1]["txn"] == "s" and len(site.attempts()) >= 2 * len(docs), "the refusals")


def _a_password_that_is_wrong_for_a_while(site: Site) -> None:
    site.new_passwords(site.kit.other_passwords)
    until(lambda: b"password" in site.daemon.log.read_bytes(), "the broker's refusal", WITHIN_S)
    site.new_passwords(site.kit.passwords)
    before = len(site.on("event"))
    until(lambda: len(site.on("event")) > before, "the link again", WITHIN_S)


def _what_is_wrong_with_the_files(everything: Everything, key: Path, folder: Path) -> None:
    """Broken files that hold the secret, and a secret in a broken configuration."""
    site = everything.site
    secret, damaged = folder / "secret", folder / "damaged.key"
    secret.write_bytes(b"\xff" + PASSWORD.encode())
    damaged.write_bytes(key.read_bytes().replace(b"-----END", b"----END") + PASSWORD.encode())
    sound = yaml.safe_load(site.daemon.config.read_text())
    for number, keys in enumerate(
        (
            {"password_file": str(secret)},
            {"tls": sound["mqtt"]["tls"] | {"key_file": str(damaged)}},
            {"password": PASSWORD},
            {"password_file": PASSWORD, "username": f"{MISPLACED}@\x07"},
        )
    ):
        path = folder / f"broken-{number}.yaml"
        store = {"path": str(folder / f"store-{number}"), "min_free_bytes": 50_000_000}
        path.write_text(yaml.safe_dump(sound | {"mqtt": sound["mqtt"] | keys, "storage": store}))
        for verb in (("check",), ("doctor",)):
            everything.verb(*verb, config=path)
    text = site.daemon.config.read_text()
    (folder / "torn.yaml").write_text(text + f"\nmqtt: {{password: '{PASSWORD}\n")
    everything.verb("check", config=folder / "torn.yaml")
    everything.verb("run", config=folder / "torn.yaml")
    everything.verb("keygen", str(folder / "canary"))
    document = folder / "document.json"
    document.write_text(json.dumps({"txn": "t", "args": {}}))
    signed = everything.verb("sign", "--key", str(folder / "canary.key"), "--topic", "t", str(document))
    assert b'"sig"' in signed
    seed = (folder / "canary.key").read_bytes().split()[-1]
    assert len(seed) > 20
    assert not any(seed in content for content in everything.printed.values())


def test_a_planted_leak_is_found(tmp_path: Path, kit: Kit) -> None:
    site = Site(tmp_path / "site", kit, log_level="debug")
    site.daemon.program = ("-c", LEAK)
    with running(site):
        log = site.daemon.log.read_bytes()
    site.daemon.log.unlink()  # or it turns the whole run red
    assert "password, plain in the log" in canary.leaks("the log", log)


@pytest.mark.parametrize("form", ["plain", "hex", "base64", "key"])
def test_the_search_finds_each_form(kit: Kit, form: str) -> None:
    """Also within a longer text in base64, wherever it begins."""
    found = {name: made for name, made in secrets(kit.certificates.client_key).items() if form in name}
    assert found
    for name, made in found.items():
        assert f"{name} in here" in canary.leaks("here", b"a" + made + b"b")
    for before in range(3):
        longer = base64.b64encode(bytes(before) + PASSWORD.encode() + b"..")
        assert [leak for leak in canary.leaks("here", longer) if "base64" in leak]
