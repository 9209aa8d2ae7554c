"""Configurations that go wrong, each in its own way; and what is done to a unit while they are tried."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.system.daemon import until
from tests.system.doorman import Introduction
from tests.system.site import MUTE, NO_RULES, RULES, WITHIN_S, Site
from trapd.demo.broker import free_port

Settings = dict[str, dict[str, Any]]


def _nothing(site: Site) -> None:
    """The document alone does the harm."""


@dataclass(frozen=True, slots=True)
class Case:
    """`doc` is what is desired; `local` is what the unit begins with.

    `door`: whom what stands before the broker lets through (the unit then comes without TLS). `during` is
    done as soon as it is on trial, `after` once it is taken back. `says` stands in the report.
    """

    name: str
    doc: Callable[[Site], dict[str, Any]]
    says: str
    local: Settings = field(default_factory=dict)
    door: Callable[[Introduction], bool] | None = None
    before: Callable[[Site], None] = _nothing
    during: Callable[[Site], None] = _nothing
    after: Callable[[Site], None] = _nothing


REFUSED = "the broker did not take what it published"
LINK = "did not come back to the broker"


def _mqtt(**keys: Any) -> Callable[[Site], dict[str, Any]]:
    return lambda site: {"mqtt": keys}


def _plain_port(site: Site) -> dict[str, Any]:
    return {"mqtt": {"port": site.operators_port}}


def _silent_port(site: Site) -> dict[str, Any]:
    """Something takes the connection and never says a word; it ends with the site's process."""
    mute = socket.create_server(("127.0.0.1", 0))
    site.closing.callback(mute.close)
    return {"mqtt": {"port": mute.getsockname()[1]}}


def _slower(site: Site) -> dict[str, Any]:
    """Harmless in itself."""
    return {"heartbeat_s": 120}


def _no_camera(site: Site) -> None:
    site.photographs.rename(site.folder / "away")


def _camera_again(site: Site) -> None:
    (site.folder / "away").rename(site.photographs)


def _install_model(site: Site) -> None:
    from trapd.backends import model_files

    models = site.daemon.root / "models"
    models.mkdir(exist_ok=True)
    (models / "better.tflite").write_bytes(model_files.find("trapd-lite0-256", models).read_bytes())


def _damage_model(site: Site) -> None:
    model = site.daemon.root / "models" / "better.tflite"
    model.write_bytes(model.read_bytes()[:4000])


def _kill_twice(site: Site) -> None:
    """Whatever it is that ends the process: a service manager begins it anew, and that is all it does."""
    for starts in (1, 2):
        until(partial(_has_started, site, starts), f"start {starts} on trial", WITHIN_S)
        site.daemon.kill()
        site.daemon.start()


def _has_started(site: Site, starts: int) -> bool:
    trial = site.trial()
    return trial is not None and trial.starts == starts


CASES = (
    Case("host", _mqtt(host="nowhere.invalid"), LINK),
    Case("port where nobody listens", lambda site: {"mqtt": {"port": free_port()}}, LINK),
    Case("port of another service", _plain_port, LINK),
    Case("port that is silent", _silent_port, LINK),
    Case("user name", _mqtt(username="somebody"), LINK),
    Case("base topic that is not the unit's", _mqtt(base_topic="elsewhere/v1"), REFUSED),
    Case("base topic that cannot be read", _mqtt(base_topic=MUTE), "its own probe did not come back"),
    Case(
        "protocol",
        _mqtt(protocol="3.1.1"),
        LINK,
        door=lambda found: found.level == 5,
    ),
    Case(
        "keep-alive",
        _mqtt(keepalive_s=600),
        LINK,
        local={"mqtt": {"protocol": "3.1.1"}},
        door=lambda found: found.keepalive_s <= 120,
    ),
    Case(
        "password replaced at the broker",
        _slower,
        LINK,
        during=lambda site: site.new_passwords(site.kit.other_passwords),
        after=lambda site: site.new_passwords(site.kit.passwords),
    ),
    Case(
        "authority replaced at the broker",
        _slower,
        LINK,
        during=lambda site: site.new_certificate(site.kit.impostor),
        after=lambda site: site.new_certificate(site.kit.certificates),
    ),
    Case(
        "access rules",
        _slower,
        REFUSED,
        during=lambda site: site.new_rules(NO_RULES),
        after=lambda site: site.new_rules(RULES),
    ),
    Case(
        "camera",
        lambda site: {"camera": {"size": [1280, 720], "filter_size": [640, 360]}},
        "the camera gave no frame",
        during=_no_camera,
        after=_camera_again,
    ),
    Case(
        "filter",
        lambda site: {"filter": {"model": "better"}},
        "the filter did not pass its self-test",
        local={"filter": {"backend": "tflite"}},
        before=_install_model,
        during=_damage_model,
    ),
    Case("start-up", _slower, "begun 3 times", during=_kill_twice),
)
