"""Fetching a URL that a person gave, without letting it reach inside: names are resolved once, every address they have must
be a public one, the connection goes to that very address, and a redirect is another URL of the same kind."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from portal.config.internet import is_public
from tasks.hypervisor.disks import DiskProblem

REDIRECTS_MAX = 5
SILENCE_S = 20.0
CHUNK_BYTES = 1 << 20


def resolve(host: str, port: int, also: Sequence[str] = (), instead: str = ": upload the file instead") -> str:
    """The address to connect to. Raises DiskProblem when the name has none, or one that is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise DiskProblem(f"{host} has no address: {problem}") from None
    addresses = [str(one[4][0]) for one in found]
    for address in addresses:
        if not is_public(address, also):
            named = f"{host} is" if host == address else f"{host} is {address}, which is"
            raise DiskProblem(f"{named} not on the internet{instead}")
    return addresses[0]


def fetch(url: str, target: Path, most_bytes: int, deadline: float, also: Sequence[str] = ()) -> int:
    """The number of bytes that the URL gave, written to the target, which is whole or not there. Raises DiskProblem."""
    for _ in range(REDIRECTS_MAX + 1):
        connection = connect(urlsplit(url), also)
        try:
            answer = _ask(connection, urlsplit(url))
            if answer.status in (301, 302, 303, 307, 308):
                url = urljoin(url, answer.headers.get("Location", ""))
                continue
            if answer.status != 200:
                raise DiskProblem(f"{urlsplit(url).hostname} answered {answer.status} {answer.reason[:60]}")
            return _save(answer, target, most_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise DiskProblem(
                f"{urlsplit(url).hostname} could not be read: {str(problem)[:150] or repr(problem)}"
            ) from None
        finally:
            connection.close()
    raise DiskProblem(f"more than {REDIRECTS_MAX} redirects")


def connect(parts: SplitResult, also: Sequence[str], instead: str = ": upload the file instead", silence_s: float = SILENCE_S) -> http.client.HTTPConnection:  # fmt: skip
    """A connection to the URL's own address, which is a public one; it gives up after `silence_s`. Raises DiskProblem."""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DiskProblem(f"a redirect leads to {parts.geturl()[:60]}; http:// and https:// addresses are allowed")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise DiskProblem("the URL's port is none") from None
    address = resolve(parts.hostname, port, also, instead)
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=silence_s)
    try:
        plain = socket.create_connection((address, port), timeout=silence_s)
        secured = ssl.create_default_context() if parts.scheme == "https" else None
        connection.sock = secured.wrap_socket(plain, server_hostname=parts.hostname) if secured else plain
    except OSError as problem:
        raise DiskProblem(f"{parts.hostname} ({address}) could not be reached: {problem}") from None
    return connection


def _ask(connection: http.client.HTTPConnection, parts: SplitResult) -> http.client.HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("GET", path, headers={"User-Agent": "Hopsight", "Accept-Encoding": "identity"})
    return connection.getresponse()


def _save(answer: http.client.HTTPResponse, target: Path, most_bytes: int, deadline: float) -> int:
    if answer.length is not None and answer.length > most_bytes:
        raise DiskProblem(f"the file has {answer.length} bytes; {most_bytes} are allowed")
    scratch, wanted, total = target.with_name(target.name + ".part"), answer.length, 0
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        while chunk := answer.read1(CHUNK_BYTES):
            total += len(chunk)
            if total > most_bytes:
                raise DiskProblem(f"the file has more than the {most_bytes} bytes that are allowed")
            if time.monotonic() > deadline:
                raise DiskProblem(f"the fetch did not end in time: {total} bytes came")
            file.write(chunk)
    if wanted is not None and total < wanted:
        raise DiskProblem(f"the connection ended after {total} of {wanted} bytes")
    os.replace(scratch, target)
    return total
