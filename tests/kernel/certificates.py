"""Self-made certificates for servers of tests."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates of these tests")


class Pair:
    """A certificate that signs itself, and its key, in two files."""

    def __init__(self, folder: Path, *names: str, stem: str = "server") -> None:
        """`names` are host names; the certificate holds for this machine's address as well."""
        self.cert, self.key = folder / f"{stem}.pem", folder / f"{stem}.key"
        self.renew(*names)

    def renew(self, *names: str) -> None:
        """Make both anew, in the same files."""
        whose = ",".join([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"])
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
        command += ["-subj", f"/CN={names[0] if names else 'test'}", "-addext", f"subjectAltName={whose}"]
        subprocess.run([*command, "-keyout", self.key, "-out", self.cert], check=True, capture_output=True, timeout=30)

    @property
    def serving(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    @property
    def trusting(self) -> ssl.SSLContext:
        """For a client that trusts it."""
        return ssl.create_default_context(cafile=self.cert)
