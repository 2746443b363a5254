"""Certificates of one test's own: a CA, and what it has signed for controllers and for switches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from qnet.emulate.process.controller import ShownCertificate
from qnet.emulate.process.tls import TlsFiles
from qnet.errors import EnvironmentMissing

DAYS = 2
"""For which they are valid: longer than any test."""

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def missing_openssl() -> str:
    """Say what keeps certificates from being made here, or '' when nothing does."""
    return "" if shutil.which("openssl") else "openssl is not here: apt-get install openssl"


class Authority:
    """A CA in a folder; what it signs is put there too."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        """Make it. Raises EnvironmentMissing where openssl is not here."""
        self.folder = folder
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        ways = ("-keyout", str(self._key), "-out", str(self.ca))
        _openssl("req", "-x509", *_KEY, *ways, "-days", str(DAYS), "-subj", f"/CN=qnet {name}")

    def sign(self, name: str, days: int = DAYS) -> tuple[Path, Path]:
        """Make a certificate and its key, valid from now for so many days."""
        cert, key, asked = (self.folder / f"{name}.{one}" for one in ("pem", "key", "csr"))
        _openssl("req", *_KEY, "-keyout", str(key), "-out", str(asked), "-subj", f"/CN={name}")
        signs = ("-CA", str(self.ca), "-CAkey", str(self._key), "-CAcreateserial")
        valid = ("-days", str(days))
        _openssl("x509", "-req", "-in", str(asked), *signs, *valid, "-out", str(cert))
        return cert, key

    def for_controllers(self, days: int = DAYS) -> ShownCertificate:
        """Make what controllers show; they want a certificate of the same CA from switches."""
        return ShownCertificate(*self.sign("controller", days), self.ca)

    def for_switches(self) -> TlsFiles:
        """Make what switches show; they want a certificate of the same CA from controllers."""
        return TlsFiles(self.ca, *self.sign("switch"))


def _openssl(*arguments: str) -> None:
    if reason := missing_openssl():
        raise EnvironmentMissing(reason)
    done = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise EnvironmentMissing(f"openssl {arguments[0]}: {words}")
