"""OpenFlow and OVSDB over TLS on a real Open vSwitch, with a certificate per host made here.

[controller] ==TLS, cert "controller"==> [ovsdb-server@hv1, cert "hv1"]
[controller] <==TLS, cert "hv1"========= [ovs-vswitchd@hv1]
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdn.controller import Controller, HostConnection
from sdn.controller.host import Common, HostLink
from sdn.model.addresses import HostName
from sdn.shadow import Shadow
from sdn.transport.tls import TlsFiles, names_of, problems_of
from tests.sdn.switch import Switch
from tests.sdn.test_controller import Told
from tests.sdn.worlds import make_world
from tests.waiting import at_this_load, until

NAMES = ("controller", "hv1", "hv2")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and a certificate signed by it for each name, as NAME.pem and NAME.key, made by openssl."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    for name in NAMES:
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=Hopsight/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed)
    return folder


class SecureShadow(Shadow):
    """A shadow whose ovsdb-server listens by TLS too."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self.files = [str(folder / f"{name}.key"), str(folder / f"{name}.pem"), str(folder / "ca.pem")]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def _spawn(self, *argv: str) -> None:
        if argv[0] == "ovsdb-server":
            key, certificate, authority = self.files
            options = (f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={authority}")
            argv = (*argv, f"--remote=pssl:{self.port}:127.0.0.1", *options)
        super()._spawn(*argv)


@contextlib.contextmanager
def held_by(folder: Path, name: str) -> Iterator[SecureShadow]:
    """A host's switch with the certificate of that name."""
    with SecureShadow(folder, name) as shadow:
        Switch(shadow).vsctl("set-ssl", *shadow.files)
        yield shadow


def _connection(
    folder: Path, shadow: SecureShadow, name: str = "hv1", target: str = "ssl:127.0.0.1:0"
) -> HostConnection:
    tls = TlsFiles(folder / "ca.pem", folder / "controller.pem", folder / "controller.key")
    ovsdb = f"ssl:127.0.0.1:{shadow.port}"
    return HostConnection(HostName(name), ovsdb, "dummy", "192.0.2.11", target, shadow.rundir, tls)


@contextlib.asynccontextmanager
async def _controlled(connection: HostConnection) -> AsyncIterator[Told]:
    told = Told()
    controller = Controller(told)
    await controller.set_hosts((connection,))
    await controller.set_intent(make_world(1, 1, []))
    try:
        yield told
    finally:
        await controller.stop()


async def test_a_host_is_kept_over_tls_alone(certificates: Path) -> None:
    with held_by(certificates, "hv1") as shadow:
        switch = Switch(shadow)
        async with _controlled(_connection(certificates, shadow)) as told:
            await until(lambda: told.connected == ["hv1"], "the switch connects by TLS")
            await until(lambda: any("table=250" in flow for flow in switch.flows()), "the flows")
            assert (await asyncio.to_thread(switch.vsctl, "get-controller", "br-int")).startswith("ssl:127.0.0.1:")


async def test_it_listens_elsewhere_than_at_the_address_that_the_switch_is_told(certificates: Path) -> None:
    """As in a container, whose published port has the machine's address: 192.0.2.1 is not here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with held_by(certificates, "hv1") as shadow:
        connection = replace(_connection(certificates, shadow, target=f"ssl:192.0.2.1:{port}"), listen="127.0.0.1")
        link = HostLink(connection, Told(), lambda: None, lambda *_: None, Common())  # type: ignore[arg-type]
        told: list[str] = []

        def published() -> bool:
            """What the machine does with its port: the switch gets through. The controller tells it the other address again now and then."""
            controller = Switch(shadow).vsctl("--if-exists", "get", "bridge", "br-int", "controller")
            if controller.strip() not in ("", "[]"):
                told.append(Switch(shadow).vsctl("get-controller", "br-int").strip())
                Switch(shadow).vsctl("set-controller", "br-int", f"ssl:127.0.0.1:{port}")
            return link.channel is not None

        try:
            await until(published, "the switch comes by the published port")
            assert told[0] == f"ssl:192.0.2.1:{port}"
        finally:
            await link.stop()


async def test_a_database_that_is_another_hosts_is_not_used(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held_by(certificates, "hv2") as shadow:
        async with _controlled(_connection(certificates, shadow)) as told:
            await until(lambda: "is not hv1 but hv2" in caplog.text, "the database is refused")
            assert not told.connected
        assert "br-int" not in await asyncio.to_thread(Switch(shadow).vsctl, "list-br")


async def test_a_switch_with_another_hosts_certificate_or_none_gets_no_flows(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held_by(certificates, "hv1") as shadow:
        other = [str(certificates / name) for name in ("hv2.key", "hv2.pem", "ca.pem")]
        Switch(shadow).vsctl("set-ssl", *other)
        link = HostLink(_connection(certificates, shadow), Told(), lambda: None, lambda *_: None, Common())  # type: ignore[arg-type]
        try:
            await until(lambda: "the certificate is not hv1's but hv2's" in caplog.text, "the switch is refused")
            assert link.channel is None
            target = await asyncio.to_thread(Switch(shadow).vsctl, "get-controller", "br-int")
            _, writer = await asyncio.open_connection("127.0.0.1", int(target.rsplit(":", 1)[1]))
            writer.write(b"\x05\0\0\x08\0\0\0\0" * 50)  # plain OpenFlow at a TLS port
            writer.close()
            assert link.channel is None
        finally:
            await link.stop()


async def test_plain_tcp_to_another_machine_is_refused_in_words(certificates: Path) -> None:
    with held_by(certificates, "hv1") as shadow:
        link_told = Told()
        reasons: list[str] = []

        async def lost(host: str, reason: str) -> None:
            reasons.append(reason)

        link_told.host_lost = lost  # type: ignore[method-assign]
        async with asyncio.timeout(at_this_load(10)):
            link = HostLink(
                _connection(certificates, shadow, target="tcp:192.0.2.1:6653"),
                link_told,
                lambda: None,
                lambda *_: None,
                Common(),
            )  # type: ignore[arg-type]
            while not reasons:
                await asyncio.sleep(0.01)
            await link.stop()
        assert "controller_target: tcp:192.0.2.1:6653 is plain TCP" in reasons[0]


@pytest.mark.parametrize(
    ("remote", "has_tls", "plain", "said"),
    [
        ("unix:/run/db.sock", False, False, ""),
        ("tcp:127.0.0.1:6640", False, False, ""),
        ("tcp:[::1]:6640", False, False, ""),
        ("tcp:10.0.0.1:6640", False, True, ""),
        ("tcp:10.0.0.1:6640", True, False, "plain TCP"),
        ("tcp:a-host:6640", True, False, "plain TCP"),
        ("ssl:10.0.0.1:6640", True, False, ""),
        ("ssl:10.0.0.1:6640", False, False, "needs certificates"),
        ("10.0.0.1:6640", True, True, "is none of"),
        ("ssl:10.0.0.1:99999", True, True, "is none of"),
    ],
)
def test_what_a_host_may_be_reached_by(remote: str, has_tls: bool, plain: bool, said: str) -> None:
    tls = TlsFiles(Path("ca"), Path("cert"), Path("key")) if has_tls else None
    problems = problems_of({"ovsdb": remote, "controller_target": remote}, tls, plain_tcp=plain)
    assert len(problems) == (2 if said else 0)
    assert all(said in problem for problem in problems)


def test_alternative_names_count_before_the_common_name() -> None:
    subject = ((("commonName", "hv9"),),)
    assert names_of({"subject": subject, "subjectAltName": (("DNS", "hv1"), ("DNS", "hv1.example"))}) == {
        "hv1",
        "hv1.example",
    }
    assert names_of({"subject": subject}) == {"hv9"}
    assert names_of(None) == frozenset()
