"""`manage.py preflight`: what is wrong with a host is told from where it is looked at, on a real OVSDB by TLS and a real libvirt driver."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from portal.hosts.models import Host
from tasks.preflight import Found, look_over
from tests.portal.clients import made_host
from tests.sdn.test_tls import SecureShadow, certificates, held_by

__all__ = ["certificates"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def secure(certificates: Path, tmp_path: Path, settings: Any) -> Iterator[SecureShadow]:
    """hv1's switch, our certificate in the folder that the setting names, and a row that is as it should be."""
    for name, ours in (("ca.pem", "ca.pem"), ("cert.pem", "controller.pem"), ("key.pem", "controller.key")):
        (tmp_path / name).write_bytes((certificates / ours).read_bytes())
    settings.TLS_DIR = str(tmp_path)
    with held_by(certificates, "hv1") as shadow:
        made_host()
        target = f"ssl:127.0.0.1:{shadow.port}"
        Host.objects.update(ovsdb=target, controller_target="ssl:127.0.0.1:6653", ovs_rundir=str(shadow.rundir))
        yield shadow


def found(what: str, **changed: str) -> list[Found]:
    Host.objects.update(**changed)
    return [one for one in look_over(Host.objects.get(), timezone.now()) if one.what == what]


def test_what_is_well_is_told_with_its_versions_and_days(secure: SecureShadow) -> None:
    (database,) = found("OVSDB")
    # the authority of the tests ends in two days
    assert database.is_fine is None and f"ssl:127.0.0.1:{secure.port} answers, as hv1, until " in database.words
    (switch,) = found("Open vSwitch")
    assert switch.is_fine and switch.words.endswith("by its control socket")
    assert "CN=controller" in found("our certificate")[0].words


def test_an_address_of_another_host_a_strangers_authority_and_a_plain_port_are_told_apart(
    secure: SecureShadow, certificates: Path, tmp_path: Path, settings: Any
) -> None:
    Host.objects.update(name="hv2")
    (other,) = found("OVSDB")
    assert other.is_fine is False and "shows the certificate of hv1, and not of hv2" in other.words
    (away,) = found("OVSDB", ovsdb="ssl:127.0.0.1:9")
    assert "does not answer: Connection refused" in away.words and "pssl:9" in away.do
    Host.objects.update(ovsdb=f"ssl:127.0.0.1:{secure.port}")
    (tmp_path / "cert.pem").write_bytes((certificates / "hv2.pem").read_bytes())
    assert "takes no TLS of ours" in found("OVSDB")[0].words  # the key is another's
    (tmp_path / "ca.pem").write_bytes((certificates / "hv2.pem").read_bytes())
    (tmp_path / "cert.pem").write_bytes((certificates / "controller.pem").read_bytes())
    assert "our authority does not vouch for" in found("OVSDB")[0].words
    (tmp_path / "key.pem").unlink()
    (lacking,) = found("our key")
    assert lacking.is_fine is False and "key.pem cannot be read" in lacking.words
    settings.TLS_DIR = ""
    assert "set HOPSIGHT_TLS" in found("addresses")[0].words


def test_a_certificate_that_has_ended_is_named_with_its_day(secure: SecureShadow) -> None:
    later = timezone.now() + timedelta(days=9)
    told = {one.what: one for one in look_over(Host.objects.get(), later)}
    assert "it has ended" in told["our certificate"].words and told["our certificate"].is_fine is False


def test_a_host_without_any_of_its_daemons_is_told_all_at_once_with_what_to_do(tmp_path: Path) -> None:
    made_host()
    nothing = f"unix:{tmp_path}/db.sock"
    Host.objects.update(
        libvirt_uri=f"qemu+unix:///system?socket={tmp_path}/libvirt-sock", ovsdb=nothing, controller_target=nothing,
        ovs_rundir=str(tmp_path), disks_dir=f"{tmp_path}/disks",
    )  # fmt: skip
    out = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("preflight", "hv1", stdout=out)
    told = out.getvalue()
    for words in (
        "BAD  libvirt: hv1", "systemctl status libvirtd", f"BAD  disks: {tmp_path}/disks cannot be written here: No such file",
        "a share that both have mounted", f"BAD  OVSDB: {nothing} does not answer: No such file", "BAD  Open vSwitch: no traces",
        "deploy/reach root@hv1", "BAD  controller: Open vSwitch was never reached.",
    ):  # fmt: skip
        assert words in told, told
    with pytest.raises(CommandError, match="there is no host hv8; known: hv1"):
        call_command("preflight", "hv8")


def test_an_old_version_is_no_hindrance_but_told(secure: SecureShadow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("tasks.preflight").preflight.NAMES, "Open vSwitch", (99, 0))
    (switch,) = found("Open vSwitch")
    assert switch.is_fine is None and "older than 99.0" in switch.do
