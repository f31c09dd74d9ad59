"""The certificate that the host serves HTTPS with, taken in anew when it is renewed."""

import ssl
from pathlib import Path
from typing import Any, Final

from jackfield.host import RefusedToStart
from jackfield.settings import Tls
from jackfield.sweeper import Sweeper
from jackfield.trace import log

_EVERY: Final = 60.0
"""Seconds between two looks at the files."""
_SAYS: Final = b'{"error":{"message":"this port speaks HTTPS: write https:// in place of http://","type":"invalid_request_error"}}'
_ANSWER: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"


class _Handshake(ssl.SSLObject):
    """A handshake that tells who speaks plain HTTP what is wrong: else the connection would break without a word."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLError as fault:
            if fault.reason != "HTTP_REQUEST":
                raise
            self.outgoing.write(_ANSWER % (len(_SAYS), _SAYS))
            raise ssl.SSLWantReadError from None  # what was written is sent; nothing more that could be read will come


class _Context(ssl.SSLContext):
    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *said: Any, **more: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *said, **more)
        made.outgoing = outgoing  # type: ignore[attr-defined]
        return made


def served_with(tls: Tls | None, folder: Path, sweeper: Sweeper) -> ssl.SSLContext | None:
    """Return what a listener is to speak TLS with, from now on kept up to date; None where it is to speak plain HTTP."""
    if tls is None:
        return None
    sweeper.waiting.add(certificates := Certificates(tls, folder))
    return certificates.context


class Certificates:
    """A certificate and its key. Whoever connects meets the newest pair that was whole; a broken one is told once and changes nothing.

    Raises `RefusedToStart` when there is no whole pair to begin with.
    """

    def __init__(self, tls: Tls, folder: Path) -> None:
        self._cert, self._key = folder / tls.cert, folder / (tls.key or tls.cert)
        self.context = self._newest = self._load()
        """For the listener."""
        self.context.sni_callback = self._choose
        self._seen, self._next = self._stamp(), 0.0

    def look(self, now: float) -> None:
        """Take in a pair that has changed. Called by the sweeper."""
        if now < self._next:
            return
        self._next = now + _EVERY
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            try:
                self._newest = self._load()
                log.info("the certificate in %s was renewed and is in use", self._cert)
            except RefusedToStart as fault:
                log.warning("%s; the certificate from before stays in use", fault)

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        """Let a handshake that begins go by the newest pair. The listener's own context is never changed: no handshake sees half a pair."""
        connection.context = self._newest

    def _stamp(self) -> object:
        try:
            return [(found.st_mtime_ns, found.st_size, found.st_ino) for found in (self._cert.stat(), self._key.stat())]
        except OSError:
            return None

    def _load(self) -> ssl.SSLContext:
        certificate, key = _read(self._cert, "cert"), _read(self._key, "key")
        if "-----BEGIN CERTIFICATE-----" not in certificate:
            raise RefusedToStart(f"server.tls.cert: {self._cert} holds no certificate in the form PEM")
        if "PRIVATE KEY-----" not in key:
            raise RefusedToStart(f"server.tls.key: {self._key} holds no private key in the form PEM")
        if "ENCRYPTED" in key:
            raise RefusedToStart(f"server.tls.key: the key in {self._key} has a password: take it off with `openssl pkey`")
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._cert, self._key, password=lambda: "")  # nobody is there to be asked for one
        except (OSError, ValueError) as fault:
            belongs = getattr(fault, "reason", None) == "KEY_VALUES_MISMATCH"
            why = f"the key does not belong to the certificate in {self._cert}" if belongs else f"cannot be used: {fault}"
            raise RefusedToStart(f"server.tls: {self._key}: {why}") from None
        return context


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="latin-1")
    except OSError as fault:
        raise RefusedToStart(f"server.tls.{setting}: {path} cannot be read: {fault.strerror or fault}") from None
