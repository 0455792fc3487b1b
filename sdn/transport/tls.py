"""TLS towards the hosts: one certificate authority, a certificate a host whose name is the host's own, one for us.

OVS trusts any certificate of its CA; so do we when it comes to the chain, and then we ask whose it is: a host may pass
for no other. Plain TCP is for loopback, or where it was asked for by a setting.
"""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ovs.stream import SSLStream, Stream

log = logging.getLogger("hopsight.tls")
SCHEMES = ("unix", "ssl", "tcp")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the CA's certificate, and the controller's own certificate and key."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Remote:
    """`unix:PATH`, `ssl:ADDRESS:PORT` or `tcp:ADDRESS:PORT`, taken apart."""

    scheme: str
    address: str
    port: int = 0

    def with_port(self, port: int) -> str:
        """The remote as OVS is told, with another port."""
        return f"{self.scheme}:{self.address}:{port}"


def parse_remote(text: str) -> Remote:
    """Raises ValueError, saying what is allowed."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest:
        return Remote(scheme, rest)
    address, _, port = rest.rpartition(":")
    if scheme not in SCHEMES or not address or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is none of unix:PATH, ssl:ADDRESS:PORT and tcp:ADDRESS:PORT")
    return Remote(scheme, address, int(port))


def problems_of(named: Mapping[str, str], tls: TlsFiles | None, *, plain_tcp: bool) -> list[str]:
    """What is wrong with a host's remotes (field → text), all of it; empty when they may be used."""
    problems = []
    for field, text in named.items():
        try:
            remote = parse_remote(text)
        except ValueError as problem:
            problems.append(f"{field}: {problem}")
            continue
        if remote.scheme == "ssl" and tls is None:
            problems.append(
                f"{field}: {text} needs certificates: set HOPSIGHT_TLS to a folder with ca.pem, cert.pem, key.pem"
            )
        if remote.scheme == "tcp" and not plain_tcp and not _is_loopback(remote.address):
            problems.append(
                f"{field}: {text} is plain TCP to another machine: use ssl:, or set HOPSIGHT_PLAIN_TCP=1 to allow it"
            )
    return problems


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For our listening side: TLS 1.2 or newer, and no client without a certificate of the CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.certificate, files.key)
    return context


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The names that a peer's checked certificate (`getpeercert()`) speaks for: DNS names, else the common name."""
    given = certificate or {}
    names = frozenset(str(value) for kind, value in given.get("subjectAltName", ()) if kind == "DNS")
    common = frozenset(str(value) for part in given.get("subject", ()) for kind, value in part if kind == "commonName")
    return names or common


def expect_database(remote: str, host: str, files: TlsFiles) -> None:
    """From now on the OVSDB at `ssl:…` must show the host's certificate. ovs keeps one key and CA a process."""
    Stream.ssl_set_private_key_file(str(files.key))
    Stream.ssl_set_certificate_file(str(files.certificate))
    Stream.ssl_set_ca_cert_file(str(files.ca))
    _HostStream.expected[remote] = host
    Stream.register_method("ssl", _HostStream)


class _HostStream(SSLStream):  # type: ignore[misc]
    """ovs's TLS stream, which knows no names, with the host's name checked once the handshake is through."""

    expected: dict[str, str] = {}

    def connect(self) -> int:
        error: int = super().connect()
        if error:
            return error
        host, names = self.expected.get(self.name), names_of(self.socket.getpeercert())
        if host is not None and host not in names:
            log.warning("remote=%s is not %s but %s: not used", self.name, host, ", ".join(sorted(names)) or "nobody")
            return errno.EACCES
        return 0
