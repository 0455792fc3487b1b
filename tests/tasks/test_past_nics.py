"""A NIC that no port of Open vSwitch stands for: read from libvirt, named on every page, and the end of a trace, in words.

[sriov-1]--VF 0000:3b:10.2--(the card's own switch)      [web-1]--tap--[br-int]
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.urls import reverse
from lxml import etree

from portal.accounts.models import Membership, Role, User
from portal.compute.adoption import Wish, plan_of
from portal.compute.devices import reports_as_csv, reports_of
from portal.compute.foreign import facts_from_json, facts_to_json
from portal.compute.models import VM
from portal.compute.presentation import devices_of
from portal.hosts.models import ForeignDomain
from portal.networks.models import Port
from portal.traces.models import TraceRequest
from portal.traces.presentation import island_data
from sdn.model.bypass import LABELS, TRUTHS, Bypass
from sdn.model.device import chain_from_json
from sdn.model.trace import from_json
from sdn.trace.question import Endpoint
from tasks.hypervisor.foreign_xml import parse_foreign
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor, parse_interfaces
from tasks.reconcile.foreign import look_at_all
from tasks.sagas.vm_create import record_interfaces
from tasks.trace_kept import Kept
from tasks.traces import answer
from tests.portal.clients import client_of
from tests.tasks.test_adopt import adopted

NAME, UUID = "sriov", "aaaaaaaa-0000-4000-8000-000000000009"
VF, POOLED, TAPPED, PRIVATE, SOCKET, VDPA = (f"52:54:00:bb:00:0{number}" for number in range(1, 7))
XML = f"""<domain type='{{kind}}'><name>{NAME}</name><uuid>{UUID}</uuid><memory unit='KiB'>262144</memory><vcpu>1</vcpu>
<os><type>hvm</type></os><devices>
<interface type='hostdev' managed='yes'><mac address='{VF}'/><source><address type='pci' domain='0x0000' bus='0x3b' slot='0x10' function='0x2'/></source><vlan><tag id='42'/></vlan></interface>
<interface type='network'><mac address='{POOLED}'/><source network='sriov-pool'/></interface>
<interface type='direct'><mac address='{TAPPED}'/><source dev='eth0' mode='bridge'/><model type='virtio'/></interface>
<interface type='direct'><mac address='{PRIVATE}'/><source dev='eth1' mode='private'/><model type='virtio'/></interface>
<interface type='vhostuser'><mac address='{SOCKET}'/><source type='unix' path='/run/vhu1.sock' mode='server'/><model type='virtio'/></interface>
<interface type='vdpa'><mac address='{VDPA}'/><source dev='/dev/vhost-vdpa-0'/></interface>
<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x5e' slot='0x0' function='0x0'/></source></hostdev>
</devices></domain>"""
POOL = """<network><name>sriov-pool</name><forward mode='hostdev' managed='yes'><address type='pci' domain='0' bus='0x3b' slot='0x10' function='0x3'/></forward></network>"""
KNOWN = {
    VF: Bypass("vf", "0000:3b:10.2", vlan="42"), POOLED: Bypass("pool", "sriov-pool"),
    TAPPED: Bypass("macvtap", "eth0", "bridge"), PRIVATE: Bypass("macvtap", "eth1", "private"),
    SOCKET: Bypass("vhostuser", "/run/vhu1.sock"), VDPA: Bypass("vdpa", "/dev/vhost-vdpa-0"),
}  # fmt: skip


@pytest.fixture
def libvirt_host() -> Iterator[LibvirtHypervisor]:
    """Real libvirt, whose test driver keeps domains and networks without their devices."""
    hypervisor = LibvirtHypervisor("hv1", "test:///default")
    hypervisor.define(XML.format(kind="test"))
    hypervisor.call("define the pool", lambda connection: connection.networkDefineXML(POOL))
    yield hypervisor
    hypervisor.destroy(NAME)
    hypervisor.undefine(NAME)
    hypervisor.call("remove the pool", lambda connection: connection.networkLookupByName("sriov-pool").undefine())


def test_libvirts_own_words_are_read_by_mac(libvirt_host: LibvirtHypervisor) -> None:
    definition = libvirt_host.definition(NAME)
    facts = parse_foreign(definition, {}, libvirt_host.nic_facts())
    assert {nic.mac: nic.bypass for nic in facts.nics} == KNOWN
    assert facts_from_json(json.loads(json.dumps(facts_to_json(facts)))) == facts
    libvirt_host.start(NAME)
    live = {nic.mac: nic.bypass for nic in libvirt_host.live_interfaces(NAME)}
    assert live == {**KNOWN, POOLED: Bypass("network", "sriov-pool")}, "what runs is told without its host's networks"


def test_a_card_that_is_passed_through_whole_is_a_nic_only_where_the_host_says_so(
    libvirt_host: LibvirtHypervisor,
) -> None:
    definition, facts = libvirt_host.definition(NAME), libvirt_host.nic_facts()
    read = parse_foreign(definition, {}, replace(facts, cards=frozenset(("0000:5e:00.0",))))
    assert read.nics[-1].mac == "" and read.nics[-1].past == Bypass("pci", "0000:5e:00.0")
    assert len(parse_foreign(definition, {}, replace(facts, cards=frozenset())).nics) == len(KNOWN)


def test_every_kind_and_mode_has_words_that_name_its_device() -> None:
    for key in TRUTHS:
        kind, _, mode = key.partition(" ")
        one = Bypass(kind, "eth7", mode, "5")
        for words in (one.words_from("web-1"), one.words_to("web-1")):
            assert "web-1" in words and "VLAN 5" in words and words.endswith(".") and "{" not in words
        assert "eth7" in one.label or kind == "user"
    assert {key.split()[0] for key in TRUTHS} == set(LABELS)


@pytest.fixture
def sriov(world) -> VM:
    """Adopted with no NIC in br-int."""
    world.fake.definitions[NAME] = XML.format(kind="qemu")
    look_at_all(lambda _host: world.fake)
    olga = User.objects.create(username="olga", is_operator=True)
    return adopted(world, ForeignDomain.objects.get(), olga, Wish("payments", "sriov-1"))


def test_the_plan_says_what_each_nic_is(world, sriov) -> None:
    world.fake.definitions["other"] = XML.format(kind="qemu").replace(NAME, "other", 1).replace(UUID, UUID[:-1] + "8")
    look_at_all(lambda _host: world.fake)
    plan = plan_of(ForeignDomain.objects.get(), Wish("payments", "other-1"))
    assert any(
        "SR-IOV virtual function 0000:3b:10.2, VLAN 42" in line and "a trace ends at it" in line for line in plan.stays
    )


def test_the_device_chain_and_the_report_show_it_as_passed_through(sriov) -> None:
    page = client_of(User.objects.get(username="olga")).get(reverse("vm", args=[sriov.uuid])).content.decode()
    assert "SR-IOV virtual function 0000:3b:10.2, VLAN 42" in page
    shown = devices_of(sriov, None)
    assert [device.title for device in shown][:2] == [
        "NIC, passthrough",
        "SR-IOV virtual function 0000:3b:10.2, VLAN 42",
    ]
    rows = list(csv.DictReader(io.StringIO(reports_as_csv(reports_of(VM.objects.all(), with_past=True)))))
    told = {row["device"]: (row["model"], row["kind"]) for row in rows}
    assert told[f"NIC {VF}"] == ("SR-IOV virtual function 0000:3b:10.2, VLAN 42", "passthrough")
    assert told[f"NIC {TAPPED}"][1] == "paravirtual"


@pytest.fixture
def member(world, client):
    bob = User.objects.create(username="bob")
    Membership.objects.create(user=bob, team=world.team, role=Role.MEMBER)
    client.force_login(bob)
    return client


def asked(member, **body) -> TraceRequest:
    answered = member.post(reverse("api-1:post_trace"), body, content_type="application/json")
    assert answered.status_code == 202, answered.content
    return TraceRequest.objects.get(uuid=answered.json()["uuid"])


def test_a_trace_from_such_a_nic_ends_at_it_with_the_words(world, sriov, member) -> None:
    web = Port.objects.get(vm=world.make_vm("web-2"))
    row = asked(member, nic=VF, target="web-2", protocol="tcp", port_dst=5432)
    trace = from_json(row.result)
    assert (row.state, row.title, trace.verdict) == ("done", "sriov-1 → web-2 tcp/5432", "unknown")
    assert "SR-IOV virtual function 0000:3b:10.2, VLAN 42" in trace.reason and "Open vSwitch" in trace.reason
    assert [hop.kind for hop in trace.hops] == ["guest_nic", "backend"]
    assert "virsh nodedev-dumpxml pci_0000_3b_10_2" in trace.hops[-1].commands
    assert trace.question is not None and (trace.question.nic, trace.question.target) == (VF, str(web.uuid))
    assert trace.packet["nw_dst"] == web.addresses.get().address and "nw_src" not in trace.packet, "nobody knows it"
    page = member.get(reverse("trace", args=[row.uuid])).content.decode()
    assert "sriov-1" in page and "VLAN 42" in page and "a VM that is gone" not in page


@pytest.mark.parametrize(
    ("target", "words"),
    [("sriov-1", "0000:3b:10.2"), (TAPPED, "other macvtaps in mode bridge on eth0"), (PRIVATE, "asks by broadcast (ARP, neighbour discovery) never arrives")],
)  # fmt: skip
def test_a_trace_to_one_ends_at_it_and_says_how_to_go_on(world, sriov, member, target: str, words: str) -> None:
    web = Port.objects.get(vm=world.make_vm("web-2"))
    trace = from_json(asked(member, source=str(web.uuid), target=target).result)
    assert trace.verdict == "unknown" and words in trace.reason and "Give the address" in trace.suggestion


def test_its_page_has_no_real_traffic_to_look_for_and_is_told_in_russian(world, sriov, member) -> None:
    row = asked(member, nic=VF, target="10.10.0.9")
    assert island_data(row, row.result, "forward")["observable"] is False
    member.cookies["django_language"] = "ru"
    page = member.get(reverse("trace", args=[row.uuid])).content.decode()
    assert "Путь кончается на сетевой карте" in page and "The way ends" not in page


def test_the_form_offers_it_and_the_terminal_takes_the_vms_name(world, sriov, member, capsys) -> None:
    world.make_vm("web-2")
    page = member.get(reverse("trace_new")).content.decode()
    assert f'value="nic:{VF}"' in page
    posted = {"source": f"nic:{VF}", "target": "web-2", "protocol": "icmp"}
    assert member.post(reverse("trace_new"), posted).status_code == 302
    assert "VLAN 42" in TraceRequest.objects.get().result["reason"]
    with pytest.raises(SystemExit) as ended:
        call_command("trace", "sriov-1", "web-2")
    assert ended.value.code == 1, "no verdict was reached"
    assert "0000:3b:10.2" in capsys.readouterr().out


def test_what_such_a_trace_cannot_be_is_refused_in_words(world, sriov, member) -> None:
    world.make_vm("web-2")
    body = {"nic": "52:54:00:00:00:99", "target": "web-2"}
    refused = member.post(reverse("api-1:post_trace"), body, content_type="application/json")
    assert refused.status_code == 422 and f"{VF} (sriov-1)" in refused.content.decode()
    for more in ({"moment": "next"}, {"at": "2026-11-26T03:10:00Z"}, {"deliver": True}):
        refused = member.post(reverse("api-1:post_trace"), {"nic": VF, "target": "web-2", **more}, content_type="application/json")  # fmt: skip
        assert refused.status_code == 422, more


def test_another_teams_nic_is_none(world, sriov, client) -> None:
    dana = User.objects.create(username="dana")
    ledger = type(world.team).objects.create(slug="ledger", name="Ledger")
    Membership.objects.create(user=dana, team=ledger, role=Role.MEMBER)
    client.force_login(dana)
    refused = client.post(reverse("api-1:post_trace"), {"nic": VF, "target": "10.0.0.1"}, content_type="application/json")  # fmt: skip
    assert refused.status_code == 422 and "sriov-1" not in refused.content.decode()


def test_a_port_whose_nic_was_put_past_the_switch_is_matched_by_its_mac(world) -> None:
    """An adopted domain that somebody defined anew: its port is still there, and no switch has it."""
    vm = world.make_vm("web-2")
    port, other = Port.objects.get(vm=vm), Port.objects.get(vm=world.make_vm("db-2"))
    root = etree.fromstring(XML.format(kind="qemu").replace(VF, port.mac.upper()))
    Port.objects.update(host=world.host)
    record_interfaces(vm, parse_interfaces(etree.tostring(root, encoding="unicode")))
    port.refresh_from_db()
    assert port.tap == "" and chain_from_json(port.device_chain).bypass == KNOWN[VF]
    told = {report.vm.name: report.past for report in reports_of(VM.objects.all(), with_past=True)}
    assert [device.kind for device in told["web-2"]] == ["passthrough"] and "db-2" not in told
    for ends in ((port, other), (other, port)):
        found = answer(
            TraceRequest(team=world.team, source=ends[0], target=ends[1], protocol="icmp", size_bytes=84), Kept()
        )
        assert found is not None and found.predicted.verdict == "unknown"
        assert "SR-IOV virtual function 0000:3b:10.2" in found.predicted.reason, found.predicted.reason


def test_a_port_that_a_switch_has_is_followed_whatever_was_read_once() -> None:
    from sdn.model.device import chain_past
    from sdn.trace.past import bypass_of_end
    from tasks.trace_rows import NOBODY

    end = Endpoint("web-1", "eth0", VF, NOBODY[4], "hv1", "", None, "", "", "-", chain=chain_past(KNOWN[VF]))
    assert bypass_of_end(end) == KNOWN[VF] and bypass_of_end(replace(end, ofport=7)) is None
