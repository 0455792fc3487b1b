"""A support bundle uploaded by an operator: read, asked and let go; and archives of people who mean no good.

[instance-0000000a]--tapweb--[br-int@node-1]--tapdb--[port-db], as tests/sdn/bundle has it
"""

from __future__ import annotations

import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.requests import archive_of, folder_of, forget_bundles
from portal.traces.raw import flow_of_fields
from sdn.bundle import BundleError
from sdn.bundle.unpack import Limits, unpack
from sdn.shadow import Shadow
from tasks.bundle_desk import read_upload, run_bundle_trace
from tests.cast import Cast
from tests.portal.clients import client_of
from tests.sdn.bundle.neutron import DB_MAC, WEB, WEB_MAC, make_node, write_bundle

SHOW = "sos_commands/openvswitch/ovs-vsctl_show"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The node's report as sos packs it: below a folder of its own, in xz."""
    with Shadow() as node:
        make_node(node)
        folder = write_bundle(node, tmp_path_factory.mktemp("report"))
    return packed({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}, "xz")  # fmt: skip


def packed(files: dict[str, bytes], how: str = "gz", *others: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{how}") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        for other in others:
            archive.addfile(other)
    return out.getvalue()


@pytest.fixture(autouse=True)
def kept_here(settings: Any, tmp_path: Path) -> None:
    settings.BUNDLES = tmp_path / "bundles"


def uploaded(cast: Cast, body: bytes, name: str = "sosreport.tar.xz") -> SupportBundle:
    answer = client_of(cast.olga).post(reverse("bundles"), {"file": SimpleUploadedFile(name, body)})
    assert answer.status_code == 302, answer.content.decode()
    row = SupportBundle.objects.latest("id")
    read_upload(row.pk)
    row.refresh_from_db()
    return row


def test_a_report_is_read_and_a_packet_followed_in_it_raw_and_by_fields(cast: Cast, report: bytes) -> None:
    row = uploaded(cast, report)
    assert (row.state, row.host, row.error) == ("ready", "node-1", "")
    assert [bridge["name"] for bridge in row.facts["bridges"]] == ["br-int", "br-tun"]
    assert row.problems == ["no conntrack dump: each connection counts as not there yet"]
    assert not archive_of(row).exists(), "the archive itself is not kept"
    client = client_of(cast.olga)
    page = client.get(reverse("bundle", args=[row.uuid])).content.decode()
    assert "tapweb" in page and "no conntrack dump" in page
    ends = f"dl_src={WEB_MAC},dl_dst={DB_MAC},nw_src=10.0.0.11,nw_dst=10.0.0.12"
    raw = {"bridge": "br-int", "flow": f"in_port={WEB},tcp,{ends},tp_src=40000,tp_dst=5432"}
    fields = {
        "bridge": "br-int", "in_port": "tapweb", "protocol": "tcp", "dl_src": WEB_MAC, "dl_dst": DB_MAC,
        "source": "10.0.0.11", "target": "10.0.0.12", "port_dst": "22",
    }  # fmt: skip
    for given, verdict in ((raw, "delivered"), (fields, "dropped")):
        answer = client.post(reverse("bundle", args=[row.uuid]), given)
        assert answer.status_code == 302, answer.content.decode()
        run_bundle_trace(BundleTrace.objects.latest("id").pk)
        told = client.get(answer["Location"]).content.decode()
        assert f'data-verdict="{verdict}"' in told and "tapweb" in told, BundleTrace.objects.latest("id").error
    assert row.traces.count() == 2


def test_what_cannot_be_followed_is_said(cast: Cast, report: bytes) -> None:
    row = uploaded(cast, report)
    client = client_of(cast.olga)
    url = f"/api/v1/bundles/{row.uuid}/traces"
    for given, field in (({"bridge": "br-x", "flow": "in_port=1"}, "bridge"), ({"flow": " "}, "flow"), ({"flow": "in_port=1", "ct_next": ["x"] * 9}, "ct_next")):  # fmt: skip
        answer = client.post(url, json.dumps({"bridge": "br-int", **given}), content_type="application/json")
        assert answer.status_code == 422 and field in answer.json()["errors"], answer.content
    answer = client.post(
        url, json.dumps({"bridge": "br-int", "flow": "in_port=77,nonsense"}), content_type="application/json"
    )
    assert answer.status_code == 202
    run_bundle_trace(BundleTrace.objects.get().pk)
    told = client.get(f"/api/v1/bundle-traces/{answer.json()['uuid']}").json()
    assert told["state"] == "failed" and "in_port 77 was given" in told["error"]


def test_it_is_operators_business_audited_and_gone_when_deleted_or_old(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    assert client_of(cast.alice).get(reverse("bundles")).status_code == 403
    row = uploaded(cast, packed({SHOW: b"x"}))
    assert row.state == "failed" and "tells of no bridge" in row.error
    folder = folder_of(row)
    assert folder.exists()
    row.expires_at = timezone.now() + timedelta(minutes=1)
    row.save()
    forget_bundles(timezone.now())
    assert SupportBundle.objects.exists()
    assert client_of(cast.olga).delete(f"/api/v1/bundles/{row.uuid}").status_code == 204
    assert [row.action for row in AuditRow.objects.filter(object_type="bundle").order_by("id")] == ["bundle.upload", "bundle.delete"]  # fmt: skip
    old = uploaded(cast, packed({SHOW: b"x"}))
    with django_capture_on_commit_callbacks(execute=True):
        forget_bundles(timezone.now() + timedelta(days=8))
    assert not SupportBundle.objects.exists() and not folder_of(old).exists()


def test_an_upload_that_is_none_or_too_large_is_refused_and_leaves_nothing(cast: Cast, settings: Any) -> None:
    settings.BUNDLE_MAX_MIB = 1
    client = client_of(cast.olga)
    for size, status, words in (
        (0, 422, "no file was given"), (3 << 19, 422, "at most 1 MiB"), (3 << 20, 413, "The body is too large")
    ):  # fmt: skip
        body = {"file": SimpleUploadedFile("x.tar", b"0" * size)} if size else {}
        answer = client.post(reverse("bundles"), body)
        assert answer.status_code == status and words in answer.content.decode()
    row = uploaded(cast, b"no archive at all", "../../etc/passwd")
    assert row.state == "failed" and "no archive that can be read" in row.error and row.name == "passwd"
    assert not any(settings.BUNDLES.parent.glob("etc*"))


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def test_paths_links_and_devices_lead_nowhere(tmp_path: Path) -> None:
    archive, inside = tmp_path / "a.tar", tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    evil = {f"../{SHOW}": b"out", f"/{SHOW}": b"out", f"a/../../{SHOW}": b"out", "sos_commands/readme": b"passed over"}
    links = [link(f"b/{SHOW}", "/etc/passwd"), link(f"c/{SHOW}", "/etc/shadow", tarfile.LNKTYPE), link(f"d/{SHOW}", "", tarfile.FIFOTYPE), link("sos_commands/openvswitch", "/tmp")]  # fmt: skip
    archive.write_bytes(packed({**evil, f"good/{SHOW}": b"in", f"good/{SHOW}/": b""}, "gz", *links))
    told = unpack(archive, inside)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == ["a.tar", f"in/side/good/{SHOW}"]  # fmt: skip
    assert sum("leads out of the archive" in words for words in told) == 3
    assert sum("it is a link" in words for words in told) == 2 and any("it is a device" in words for words in told)
    assert not any(path.is_symlink() for path in inside.rglob("*"))


@pytest.mark.parametrize(
    ("files", "limits", "words"),
    [
        ({SHOW: b"0" * 300_000}, Limits(file_bytes=100_000), "is larger than"),
        (
            {f"{number}/{SHOW}": b"0" * 60_000 for number in range(5)},
            Limits(total_bytes=200_000),
            "files are more than",
        ),
        ({"var/log/big": b"0" * 900_000}, Limits(read_bytes=500_000), "unpacks to more than"),
        ({f"n/{number}": b"" for number in range(50)}, Limits(entries=40), "more than 40 entries"),
    ],
)
def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path, files: dict[str, bytes], limits: Limits, words: str) -> None:  # fmt: skip
    archive, inside = tmp_path / "a.tar.xz", tmp_path / "in"
    archive.write_bytes(packed(files, "xz"))
    with pytest.raises(BundleError, match=words):
        unpack(archive, inside, limits)
    written = sum(path.stat().st_size for path in inside.rglob("*") if path.is_file())
    assert written <= min(limits.file_bytes, limits.total_bytes) + 256 * 1024


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_an_archive_that_was_cut_is_no_archive(tmp_path: Path, cut: int) -> None:
    whole = packed({f"{number}/{SHOW}": bytes(range(256)) * 40 for number in range(9)}, "gz")
    (tmp_path / "a").write_bytes(whole[:cut])
    with pytest.raises(BundleError, match="no archive that can be read"):
        unpack(tmp_path / "a", tmp_path / "in")


def test_the_forms_fields_come_to_a_flow() -> None:
    v6 = {"in_port": "9", "protocol": "tcp6", "source": "fd00::1", "target": "fd00::2", "port_dst": "22"}
    assert flow_of_fields(v6) == "in_port=9,tcp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,tp_dst=22"
    assert flow_of_fields({"in_port": "9", "protocol": "arp", "target": "10.0.0.1", "port_dst": "1"}) == "in_port=9,arp,arp_tpa=10.0.0.1"  # fmt: skip
    assert flow_of_fields({}) == ""
