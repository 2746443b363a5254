"""TLS to a controller: files that a connection needs, certificates for tests, faults in words.

As a switch does (Open vSwitch's `--private-key`, `--certificate`, `--ca-cert`), the relay shows a
certificate of its own where the controller asks for one, and takes the controller's if the CA has
signed it. Whose name is in it does not matter: controllers are known by their addresses.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from qnet.errors import ArgumentError, Problem

HANDSHAKE_S = 5.0
"""Longest wait for a controller's part in the handshake."""

SCHEME = "ssl:"

RECORD_OF_ALERT = b"\x15\x03"
"""How an answer begins of who wants TLS and hears none (RFC 8446, 5.1 and 6)."""


class TlsFiles(NamedTuple):
    """Files in PEM: who may sign a controller, and what switches show of themselves."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


def context(files: TlsFiles) -> ssl.SSLContext:
    """Return how to connect to a controller; raises ArgumentError with all that is wrong."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    problems = []
    if (files.cert is None) != (files.key is None):
        lacking = "tls-key" if files.key is None else "tls-cert"
        words = "a certificate and its key go together"
        problems.append(Problem(lacking, 0, 0, "", words))
    named = (("tls-ca", files.ca), ("tls-cert", files.cert), ("tls-key", files.key))
    unread = [
        Problem(option, 0, 0, "", f"{path} cannot be read: {error.strerror}")
        for option, path in named
        if path is not None and (error := _unreadable(path)) is not None
    ]
    if not problems and not unread:
        problems += _load(made, files)
    if problems or unread:
        raise ArgumentError([*problems, *unread])
    return made


def context_for(controller: str, files: TlsFiles | None) -> ssl.SSLContext | None:
    """Return how to connect to one that is at ssl:HOST:PORT; None for one at tcp:HOST:PORT."""
    if not controller.startswith(SCHEME):
        return None
    if files is None:
        words = f"{controller} needs the CA that has signed its certificate"
        raise ArgumentError([Problem("tls-ca", 0, 0, "", words)])
    return context(files)


def _unreadable(path: Path) -> OSError | None:
    try:
        path.read_bytes()
    except OSError as error:
        return error
    return None


def _load(made: ssl.SSLContext, files: TlsFiles) -> list[Problem]:
    problems = []
    try:
        made.load_verify_locations(files.ca)
    except ssl.SSLError:
        words = f"{files.ca} has no certificate in PEM"
        problems.append(Problem("tls-ca", 0, 0, "", words))
    if files.cert is None or files.key is None:
        return problems

    def no_password() -> str:
        raise _Locked

    try:
        made.load_cert_chain(files.cert, files.key, no_password)
    except _Locked:
        words = f"{files.key} is locked with a password; give a key without one"
        problems.append(Problem("tls-key", 0, 0, "", words))
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            words = f"{files.key} is not the key of {files.cert}"
        else:
            words = f"{files.cert} and {files.key} are no certificate and key in PEM"
        problems.append(Problem("tls-cert", 0, 0, "", words))
    return problems


class _Locked(Exception):
    """A key asks for a password."""


def fault(error: BaseException | None, files: TlsFiles) -> str:
    """Say why TLS did not come about, or '' where that was not the reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _why_not_taken(error.verify_message.rstrip("."), files)
    if isinstance(error, ssl.SSLError):
        return _why_none((error.reason or str(error)).replace("_", " ").lower(), files)
    if isinstance(error, ConnectionAbortedError) and "handshake" in str(error):
        return f"it says no TLS in {HANDSHAKE_S:.0f} s; is it one for tcp:?"
    return ""


def speaks_tls(host: str, port: int) -> bool:
    """Tell whether who listens there answers in TLS, whatever it is."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), HANDSHAKE_S) as plain:
            anyone.wrap_socket(plain).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True


def _why_not_taken(why: str, files: TlsFiles) -> str:
    """Say what is wrong with a controller's certificate, of OpenSSL's words for it."""
    if "issuer" in why or "self-signed" in why or "self signed" in why:
        return f"its certificate is not signed by the CA in {files.ca} ({why})"
    return f"its certificate is not taken: {why}"


def _why_none(reason: str, files: TlsFiles) -> str:
    """Say why there is no TLS, of OpenSSL's words for it."""
    if "certificate required" in reason or ("handshake failure" in reason and not files.cert):
        return "it asks for a certificate: give --tls-cert and --tls-key"
    if "alert" in reason and files.cert is not None:
        alert = reason.partition("alert ")[2]
        return f"it does not take the certificate in {files.cert} ({alert})"
    if reason in ("wrong version number", "record layer failure", "packet length too long"):
        return "what it says is no TLS; is it one for tcp:?"
    return f"TLS failed: {reason}"
