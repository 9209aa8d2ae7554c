"""TLS towards the broker: which files, and how strict. Called by the uplink on a connection's own thread."""

from __future__ import annotations

import ssl
from pathlib import Path

from trapd.errors import LinkUnavailable
from trapd.frozen import Frozen


class Tls(Frozen):
    """How the broker is known, and how it knows us. `ca_file` None: the system's authorities.

    The files are read anew for each connection, so that renewed ones count without a restart.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


class ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """As SSLSocket's."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name always checked. Raises LinkUnavailable for an unusable file."""
    made = _trusting(tls.ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 refuses authorities whose certificate leaves out what most people's own leave out, such as
    # key usage; earlier ones do not. A unit that goes from Debian 12 to 13 must not lose its broker by it.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.sslsocket_class = ClosingSocket
    if tls.cert_file is not None:
        try:
            # Without a password of ours OpenSSL would ask for one on the terminal, and wait.
            made.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ValueError) as error:
            raise LinkUnavailable(
                f"client certificate {tls.cert_file} or its key cannot be used: {_short(error)}",
                "mqtt.tls.cert_file and key_file must be a pair of PEM files without a pass phrase",
            ) from error
    return made


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise LinkUnavailable(
            f"CA file {ca_file} cannot be used: {_short(error)}",
            "mqtt.tls.ca_file must be a readable PEM file",
        ) from error


def _short(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM data in it"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
