"""What stands in the way of a host, asked of the host itself by the process that this runs in: its libvirt, its folder for disks, its
Open vSwitch by each of the three ways there, and the certificates.

The hosts page tells what the collector and the controller met; this tells more, and from where it is run: one container may reach
what another does not. Nothing is changed but a file in the folder for disks, which is taken away again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.conf import settings

from portal.hosts.health import troubles
from portal.hosts.manage_views import switch_of
from portal.hosts.models import Host
from portal.volumes.models import OWN_POOL
from sdn.transport.tls import Remote, TlsFiles, names_of, parse_remote, problems_of
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.registry import hypervisor_of

WITHIN_S = 8.0
LIBVIRT, OVS = (9, 0), (3, 1)  # Debian 12's: what every test runs with
ENDS_SOON = timedelta(days=30)
FEW_BYTES = 20 << 30
NAMES = {"libvirt": LIBVIRT, "Open vSwitch": OVS}


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at. `is_fine` is None for what works and deserves a look all the same."""

    what: str
    is_fine: bool | None
    words: str
    do: str = ""


def look_over(host: Host, now: datetime) -> Iterator[Found]:
    """Everything, in the order in which it is put right."""
    yield from _libvirt(host)
    yield from _disks(host)
    tls = tls_files()
    if tls is not None:
        yield from _own_certificate(tls, now)
    yield from _database(host, tls, now)
    yield _control_socket(host)
    said = [one for one in troubles(host, switch_of(host), now) if not one.words.startswith("libvirt")]
    yield from (Found("controller", False, one.words, one.do) for one in said)
    if not said:
        yield Found("controller", True, f"keeps br-int, by {host.controller_target}")


def tls_files() -> TlsFiles | None:
    folder = Path(settings.TLS_DIR)
    return TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem") if settings.TLS_DIR else None


def _libvirt(host: Host) -> Iterator[Found]:
    try:
        capacity = hypervisor_of(host, WITHIN_S).capacity()
    except HypervisorError as problem:
        do = f"here: virsh -c '{host.libvirt_uri}' version. On the host: systemctl status libvirtd libvirtd-tls.socket"
        yield Found("libvirt", False, str(problem), do)
        return
    words = f"{capacity.libvirt_version}, {capacity.vcpus} processors, {capacity.ram_mib} MiB"
    yield _of_age("libvirt", capacity.libvirt_version, words)


def _of_age(name: str, version: str, words: str) -> Found:
    tested = NAMES[name]
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < tested:
        least = ".".join(map(str, tested))
        return Found(name, None, words, f"older than {least}, the oldest that Hopsight is tested with: what it lacks fails in its own words")  # fmt: skip
    return Found(name, True, words)


def _disks(host: Host) -> Iterator[Found]:
    """Whether this process writes there, and whether the host's libvirt sees it: by its own pool, once the collector made that."""
    folder, name = Path(host.disks_dir), f"hs-preflight-{secrets.token_hex(6)}"
    share = (
        "it has to be one folder, at the same path on the host and in this container: a share that both have mounted"
    )
    pool = folder / "volumes"
    place = pool if pool.is_dir() else folder
    try:
        (place / name).touch()
    except OSError as problem:
        yield Found("disks", False, f"{place} cannot be written here: {problem.strerror}", share)
        return
    try:
        hypervisor = hypervisor_of(host, WITHIN_S)
        hypervisor.refresh_pool(OWN_POOL)
        seen = {volume.name for volume in hypervisor.pool_volumes(OWN_POOL)}
    except HypervisorError:
        yield Found("disks", None, f"{place} can be written here; whether the host sees it is not known", "run this again when libvirt is well")  # fmt: skip
        return
    finally:
        (place / name).unlink(missing_ok=True)
    if name not in seen:
        yield Found("disks", False, f"{host.name} does not see what is written to {place} here", share)
        return
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    words = f"{folder} is the host's and ours, {free >> 30} GiB free"
    yield Found("disks", True if free > FEW_BYTES else None, words)


def _own_certificate(tls: TlsFiles, now: datetime) -> Iterator[Found]:
    for what, path in (("our certificate", tls.certificate), ("the authority", tls.ca)):
        try:
            row = x509.load_pem_x509_certificate(path.read_bytes())
            yield _in_time(what, f"{path}: {row.subject.rfc4514_string()}", row.not_valid_after_utc, now)
        except (OSError, ValueError) as problem:
            yield Found(what, False, f"{path} cannot be read: {problem}", "docs/tls.md makes it; this process's user must be able to read it")  # fmt: skip
    if not os.access(tls.key, os.R_OK):
        yield Found("our key", False, f"{tls.key} cannot be read", f"it must be there, and be readable by user {os.getuid()}")  # fmt: skip


def _in_time(what: str, words: str, ends: datetime, now: datetime) -> Found:
    day = f"{words}, until {ends:%Y-%m-%d}"
    if ends <= now:
        return Found(what, False, f"{day}: it has ended", "make another: docs/tls.md")
    return Found(what, None if ends - now < ENDS_SOON else True, day)


def _database(host: Host, tls: TlsFiles | None, now: datetime) -> Iterator[Found]:
    told = problems_of({"ovsdb": host.ovsdb, "controller_target": host.controller_target}, tls, plain_tcp=settings.PLAIN_TCP)  # fmt: skip
    if told:
        yield from (
            Found("addresses", False, words, "change the host: its page, or manage.py host add") for words in told
        )
        return
    remote = parse_remote(host.ovsdb)
    do = f"on the host: ovs-vsctl get-manager; ovs-vsctl set-manager pssl:{remote.port or 6640}; a firewall in between?"
    try:
        with socket.socket(socket.AF_UNIX) if remote.scheme == "unix" else _dialled(remote) as line:
            line.settimeout(WITHIN_S)
            if remote.scheme == "unix":
                line.connect(remote.address)
            yield from _asked(host, _wrapped(line, tls) if remote.scheme == "ssl" and tls else line, now)
    except ssl.SSLCertVerificationError as problem:
        yield Found("OVSDB", False, f"{host.ovsdb} shows a certificate that our authority does not vouch for: {problem.verify_message}", "docs/tls.md: one authority signs all of them")  # fmt: skip
    except ssl.SSLError as problem:
        yield Found("OVSDB", False, f"{host.ovsdb} takes no TLS of ours: {problem.reason or problem}", "on the host: ovs-vsctl get-ssl; is it our authority's ca.pem?")  # fmt: skip
    except OSError as problem:
        yield Found("OVSDB", False, f"{host.ovsdb} does not answer: {problem.strerror or problem}", do)


def _dialled(remote: Remote) -> socket.socket:
    return socket.create_connection((remote.address.strip("[]"), remote.port), WITHIN_S)


def _wrapped(line: socket.socket, tls: TlsFiles) -> ssl.SSLSocket:
    """The name is asked for afterwards: OVS's own certificates have it as the common name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.ca)
    context.load_cert_chain(tls.certificate, tls.key)
    return context.wrap_socket(line)


def _asked(host: Host, line: socket.socket, now: datetime) -> Iterator[Found]:
    """An echo of RFC 7047, 4.1.11: with TLS 1.3 a server refuses a client's certificate only after the handshake."""
    line.sendall(json.dumps({"method": "echo", "params": [], "id": "preflight"}).encode())
    if b"preflight" not in line.recv(4096):
        raise OSError(f"it is no OVSDB, or it does not take the certificate of {settings.TLS_DIR or 'ours'}")
    if isinstance(line, ssl.SSLSocket):
        shown = line.getpeercert() or {}
        names = names_of(shown)
        if host.name not in names:
            words = (
                f"{host.ovsdb} shows the certificate of {', '.join(sorted(names)) or 'nobody'}, and not of {host.name}"
            )
            yield Found("OVSDB", False, words, "is it another host's address? A certificate's name is the host's name here: docs/tls.md")  # fmt: skip
            return
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
        yield _in_time("OVSDB", f"{host.ovsdb} answers, as {host.name}", ends, now)
        return
    yield Found("OVSDB", True, f"{host.ovsdb} answers")


def _control_socket(host: Host) -> Found:
    try:
        client = UnixctlClient(find_vswitchd_socket(Path(host.ovs_rundir)), WITHIN_S)
        try:
            version = client.run("version").splitlines()[0]
        finally:
            client.close()
    except (UnixctlError, OSError) as problem:
        do = f"of another machine: deploy/reach root@{host.name} {host.ovs_rundir}, and that folder mounted into this container"
        return Found("Open vSwitch", False, f"no traces, flow tables and counters: {problem}", do)
    return _of_age("Open vSwitch", version.rpartition(" ")[2], f"{version}, by its control socket")
