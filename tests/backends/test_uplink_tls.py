"""Who the broker is, and who we are: TLS, certificates, passwords."""

from __future__ import annotations

import logging
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.uplink_rig import connected, lost, outcome, uplink_to
from tests.brokers import Certificates, make_certificates, make_mosquitto, make_tls_mosquitto
from tests.canary import PASSWORD
from trapd.backends.uplink_paho import Tls
from trapd.backends.uplink_tls import context
from trapd.demo.broker import HOST, MosquittoBroker, free_port
from trapd.errors import LinkUnavailable
from trapd.ports import Connected, Lost


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_broker(tmp_path: Path, certificates: Certificates) -> Iterator[MosquittoBroker]:
    with make_tls_mosquitto(tmp_path, certificates) as broker:
        yield broker


@pytest.mark.rig
@pytest.mark.parametrize(("protocol", "code"), [("5", 0x87), ("3.1.1", 0x87)])
def test_a_wrong_password_is_said_in_plain_words(
    tmp_path: Path,
    certificates: Certificates,
    protocol: str,
    code: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with make_tls_mosquitto(tmp_path, certificates) as broker:
        uplink = uplink_to(
            broker.port,
            host="localhost",
            tls=Tls(certificates.ca),
            password=lambda: "hunter2",
            protocol=protocol,
        )
        event = lost(uplink)
    assert event.code == code
    assert "password" in event.reason
    assert "hunter2" not in event.reason + repr(uplink) + caplog.text


@pytest.mark.rig
def test_the_password_is_read_anew_for_each_connection(
    tls_broker: MosquittoBroker, certificates: Certificates
) -> None:
    passwords = iter(["old", PASSWORD])
    uplink = uplink_to(
        tls_broker.port, host="localhost", tls=Tls(certificates.ca), password=lambda: next(passwords)
    )
    assert isinstance(outcome(uplink), Lost)
    assert isinstance(outcome(uplink), Connected)


def test_a_password_that_cannot_be_read_is_lost_without_its_text() -> None:
    def password() -> str:
        raise ValueError("hunter2 is not valid UTF-8")

    event = lost(uplink_to(free_port(), password=password))
    assert "password cannot be read" in event.reason
    assert "hunter2" not in event.reason


def test_a_password_error_of_ours_keeps_its_words() -> None:
    def password() -> str:
        raise LinkUnavailable("no password", "write it to the file")

    assert lost(uplink_to(free_port(), password=password)).reason == "no password (write it to the file)"


@pytest.mark.rig
def test_an_unknown_authority_and_a_wrong_name(
    tls_broker: MosquittoBroker, certificates: Certificates
) -> None:
    unknown = lost(uplink_to(tls_broker.port, host="localhost", tls=Tls(certificates.other_ca)))
    assert "unknown CA" in unknown.reason
    assert "mqtt.tls.ca_file" in unknown.reason
    by_system = lost(uplink_to(tls_broker.port, host="localhost", tls=Tls()))
    assert "unknown CA" in by_system.reason
    misnamed = lost(uplink_to(tls_broker.port, host=HOST, tls=Tls(certificates.ca)))
    assert "mqtt.host must be a name that stands in it" in misnamed.reason


@pytest.mark.rig
def test_plain_to_a_tls_port_and_tls_to_a_plain_port(
    tls_broker: MosquittoBroker, certificates: Certificates, tmp_path: Path
) -> None:
    assert "closed the connection" in lost(uplink_to(tls_broker.port)).reason
    with make_mosquitto(tmp_path) as plain:
        event = lost(uplink_to(plain.port, host="localhost", tls=Tls(certificates.ca)))
    assert "mqtt.tls.enabled" in event.reason


@pytest.mark.rig
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_client_certificates(tmp_path: Path, certificates: Certificates, protocol: str) -> None:
    lines = ("require_certificate true", "use_identity_as_username true")
    with make_tls_mosquitto(tmp_path, certificates, *lines) as broker:
        without = uplink_to(broker.port, host="localhost", tls=Tls(certificates.ca), protocol=protocol)
        assert "client certificate" in lost(without).reason
        pair = Tls(certificates.ca, certificates.client_cert, certificates.client_key)
        link = connected(uplink_to(broker.port, host="localhost", tls=pair, protocol=protocol))
        link.close()


def test_unusable_files_are_named(tmp_path: Path, certificates: Certificates) -> None:
    absent, empty = tmp_path / "absent.pem", tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    port = free_port()
    for tls in (
        Tls(absent),
        Tls(empty),
        Tls(certificates.ca, absent, absent),
        Tls(certificates.ca, certificates.client_cert, certificates.server_key),
    ):
        assert "mqtt.tls." in lost(uplink_to(port, tls=tls)).reason


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked(
    tmp_path: Path, certificates: Certificates
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        [
            "openssl",
            "ec",
            "-in",
            str(certificates.client_key),
            "-aes128",
            "-passout",
            "pass:x",
            "-out",
            locked,
        ],
        check=True,
        capture_output=True,
    )
    event = lost(uplink_to(free_port(), tls=Tls(certificates.ca, certificates.client_cert, locked)))
    assert "pass phrase" in event.reason


def test_an_authority_of_ones_own_is_good_on_every_python() -> None:
    """What Python 3.13 asks of it in addition, an openssl command as most people write it does not give."""
    made = context(Tls())
    assert not made.verify_flags & ssl.VERIFY_X509_STRICT
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
