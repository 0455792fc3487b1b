"""Operators' pages of hosts: registered with checks, looked into, taken out, forgotten; what is wrong is said in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.hosts.health import troubles
from portal.hosts.models import Host
from portal.live.models import Event
from portal.networks.models import Generation
from portal.topology.models import HostSeen
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm, made_volume

JSON: dict[str, Any] = {"content_type": "application/json"}
FORM = {
    "name": "hv7", "underlay_ip": "192.0.2.77", "underlay_mtu": "9000", "libvirt_uri": "qemu+tls://hv7/system",
    "ovsdb": "ssl:192.0.2.77:6640", "controller_target": "ssl:192.0.2.2:6653", "ovs_rundir": "/var/run/openvswitch",
    "disks_dir": "/srv/disks", "datapath_type": "system",
}  # fmt: skip


def switch(controller: str = "connected", **nic: Any) -> SwitchSeen:
    ports = tuple(
        PortSeen(one.name, (one,))
        for one in (
            InterfaceSeen("br-int", "internal", 65534, "up"),
            InterfaceSeen("eth1", "", 1, **{"link": "up", **nic}),
        )
    )
    return SwitchSeen("3.1.0", (BridgeSeen("br-int", "netdev", "secure", controller, ports),))


def test_a_host_is_registered_on_the_page_and_the_controller_hears_of_it(cast: Cast) -> None:
    before = Generation.objects.get(id=1).value
    answer = client_of(cast.olga).post(reverse("host_new"), FORM)
    assert answer.url == reverse("host", args=["hv7"])
    host = Host.objects.get(name="hv7")
    assert (host.underlay_mtu, host.ovsdb, host.disks_dir) == (9000, "ssl:192.0.2.77:6640", "/srv/disks")
    assert Generation.objects.get(id=1).value > before
    assert AuditRow.objects.get(action="host.add").actor == "olga"
    assert Event.objects.filter(topic="hosts", type="host.changed", object="host:hv7").exists()
    page = client_of(cast.olga).get(answer.url).content.decode()
    assert "libvirt was never reached." in page and "does it reach ssl:192.0.2.77:6640?" in page


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", "no name!"), ("underlay_ip", "300.1.1.1"), ("underlay_mtu", "99"), ("libvirt_uri", "http://hv7/"),
        ("ovsdb", "tcp:192.0.2.77:6640"), ("controller_target", "hv7"), ("disks_dir", "disks"), ("disks_dir", "/"), ("datapath_type", "dpdk"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_host_is_told_at_its_field(cast: Cast, field: str, given: str) -> None:
    answer = client_of(cast.olga).post(reverse("host_new"), FORM | {field: given})
    wrong = {one["name"] for one in answer.context["fields"] if one["errors"]}
    assert (answer.status_code, wrong) == (422, {field})
    body = FORM | {"underlay_mtu": 9000} | {field: int(given) if given.isdecimal() else given}
    by_api = client_of(cast.olga).post("/api/v1/hosts", body, **JSON)
    assert by_api.status_code == 422 and set(by_api.json()["errors"]) == {field}
    assert "given; " in by_api.json()["errors"][field][0] and "allowed" in by_api.json()["errors"][field][0]
    assert not Host.objects.exists()


def test_everything_that_is_wrong_is_told_at_once_and_a_name_is_taken_once(cast: Cast) -> None:
    made_host()
    taken = client_of(cast.olga).post(
        "/api/v1/hosts", {"name": "hv1", "underlay_ip": "192.0.2.1", "ovsdb": "x"}, **JSON
    )
    assert set(taken.json()["errors"]) == {"name", "ovsdb"}
    assert Host.objects.get().ovsdb == ""


def test_a_host_is_changed_taken_out_and_forgotten_once_it_is_empty(cast: Cast) -> None:
    client = client_of(cast.olga)
    client.post(reverse("host_new"), FORM)
    client.post(reverse("host_edit", args=["hv7"]), FORM | {"name": "another", "underlay_mtu": "1500"})
    host = Host.objects.get()
    assert (host.name, host.underlay_mtu) == ("hv7", 1500), "a name stays"
    row = AuditRow.objects.filter(action="host.change").latest("id")
    assert (row.before["underlay_mtu"], row.after["underlay_mtu"]) == (9000, 1500)
    client.post(reverse("host", args=["hv7"]), {"word": "off"})
    assert not Host.objects.get().enabled
    assert client.patch("/api/v1/hosts/hv7", {"enabled": True}, **JSON).json()["enabled"]
    vm = made_vm(cast)
    vm.host = host
    vm.save()
    refused = client.post(reverse("host", args=["hv7"]), {"word": "remove"})
    assert refused.status_code == 422 and "hv7 has VMs: web-1" in refused.content.decode()
    assert "web-1" in client.delete("/api/v1/hosts/hv7").json()["errors"]["host"][0]
    vm.host = None
    vm.save()
    volume = made_volume(cast)
    assert volume.pool is not None
    kept = client.delete(f"/api/v1/hosts/{volume.pool.host.name}")
    assert kept.status_code == 422 and "there are still: 1 volumes" in kept.json()["errors"]["host"][0]
    volume.delete()
    for host in Host.objects.all():
        assert client.delete(f"/api/v1/hosts/{host.name}").status_code == 204
    assert not Host.objects.exists()
    assert Event.objects.filter(topic="hosts", type="host.deleted").exists()


def test_health_is_said_in_words_with_what_to_do(cast: Cast) -> None:
    now = timezone.now()
    host = made_host()
    host.ovs_seen_at = now
    assert troubles(host, switch(), now) == []
    found = [one.words for one in troubles(host, switch("away", link="down"), now + timedelta(minutes=1))]
    assert found == [
        "libvirt was not heard for more than 30 s.",
        "br-int’s controller is away: no flow is changed.",
        "br-int: the link of eth1 is down.",
    ]
    host.libvirt_error, host.ovs_error = "Connection refused", "closed by the host"
    found = [one.words for one in troubles(host, switch(error="could not open network device eth1"), now)]
    assert found == [
        "libvirt: Connection refused",
        "Open vSwitch: closed by the host",
        "br-int, port eth1: could not open network device eth1",
    ]


def test_the_page_shows_bridges_ports_and_vms_and_the_api_says_the_same(cast: Cast) -> None:
    host, vm = made_host(), made_vm(cast)
    vm.host = host
    vm.save()
    Host.objects.update(ovs_seen_at=timezone.now())
    HostSeen.objects.create(host=host, switch=switch_to_json(switch(mac="52:54:00:00:00:01", mtu=9000)))
    page = client_of(cast.olga).get(reverse("host", args=["hv1"])).content.decode()
    for words in (
        "br-int",
        "eth1",
        "52:54:00:00:00:01",
        "web-1",
        "Payments",
        "Nothing is wrong",
        reverse("flows", args=["hv1", "br-int"]),
    ):
        assert words in page, words
    told = client_of(cast.olga).get("/api/v1/hosts/hv1").json()
    assert told["troubles"] == [] and told["vms"] == 1
    assert told["switch"]["bridges"][0]["ports"][1]["interfaces"][0]["mtu"] == 9000
    assert client_of(cast.alice).get(reverse("host", args=["hv1"])).status_code == 403
    assert client_of(cast.olga).get("/api/v1/hosts/hv404").status_code == 404
