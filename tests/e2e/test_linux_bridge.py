"""Guests plugged by a Linux bridge each: addressed, filtered, traced and taken away like the rest.

[lb-1]--tap--[qbr]--qvb=qvo--[br-int@hv1]==vni==[br-int@hv2]--qvo=qvb--[qbr]--tap--[lb-2]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.commands import run
from lab.paths import hypervisor_paths, lab_netns
from portal.hosts.models import Host
from sdn.bundle import BundleShadow, read_bundle
from tasks.bundle_writer import write_bundle
from tasks.bundles import trace_bundle
from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.guests import in_guest, script_with
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
HOSTS = ("hv1", "hv2")
PLUGGED = ["guest_nic", "backend", "tap", "linux_bridge", "veth", "bridge"]
SPOOF = "ip address add 10.20.0.99/24 dev eth0; ping -c 2 -W 1 -I 10.20.0.99 {}; ip address del 10.20.0.99/24 dev eth0"


@pytest.fixture(scope="module")
def alice(product: Product) -> Api:
    return Api(product, "alice")


@pytest.fixture(scope="module")
def vms(product: Product, alice: Api, key: Path) -> Iterator[list[dict[str, Any]]]:
    """Two VMs, one a host, that were made while both hosts plugged guests into Linux bridges."""
    olga = Api(product, "olga")
    for host in HOSTS:
        status, answer = olga.send("PATCH", f"/hosts/{host}", {"plug": "bridge"})
        assert (status, answer["plug"]) == (200, "bridge"), answer
    asked = [{"name": name, "image": "tiny", "flavor": "S", "network": "payments-net", "user_data": script_with(key)} for name in ("lb-1", "lb-2")]  # fmt: skip
    answers = [alice.send("POST", "/vms", one) for one in asked]
    assert all(status == 202 for status, _ in answers), answers
    uuids = [answer["vm"]["uuid"] for _, answer in answers]
    yield [wait_for(lambda one=one: _answering(alice, one), 120, "SSH answers", 0.2) for one in uuids]  # type: ignore[misc]
    for host in HOSTS:
        olga.send("PATCH", f"/hosts/{host}", {"plug": "direct"})
    for uuid in uuids:
        alice.send("DELETE", f"/vms/{uuid}")
        wait_for(lambda uuid=uuid: alice.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)  # type: ignore[misc]


def _answering(api: Api, uuid: str) -> dict[str, Any] | None:
    found: dict[str, Any] = api.get(f"/vms/{uuid}")
    assert found["state"] != "failed", found
    return found if found["ssh_at"] else None


def links(product: Product, host: str) -> list[str]:
    """The host's interfaces of Linux bridges, and the ports of br-int that are such a cable's end."""
    paths = hypervisor_paths(product.lab, int(host[2:]))
    told = json.loads(run("ip", "-j", "-n", lab_netns(product.lab, host), "link", "show"))
    names = [one["ifname"] for one in told if one["ifname"].startswith(("qbr", "qvb", "qvo"))]
    ports = run("ovs-vsctl", f"--db={paths.ovsdb}", "list-ports", "br-int").split()
    return [*names, *(f"br-int {port}" for port in ports if port.startswith("qvo"))]


def netns(product: Product, host: str, *argv: str) -> str:
    """What a command prints in the host's network namespace."""
    return run("ip", "netns", "exec", lab_netns(product.lab, host), *argv)


@contextmanager
def ruled(product: Product, host: str, family: str, rule: str) -> Iterator[Callable[[], str]]:
    """While inside, the host has that rule in a forward chain of its own; yields what lists the chain."""
    base = "{ type filter hook forward priority -300; policy accept; }"
    for words in (f"add table {family} hsown", f"add chain {family} hsown own {base}", f"add rule {family} hsown own {rule}"):  # fmt: skip
        netns(product, host, "nft", words)
    try:
        yield lambda: netns(product, host, "nft", "-j", "list", "chain", family, "hsown", "own")
    finally:
        netns(product, host, "nft", "delete", "table", family, "hsown")


def counted(listing: Callable[[], str]) -> int:
    """Packets that the only rule has counted."""
    rule = next(one["rule"] for one in json.loads(listing())["nftables"] if "rule" in one)
    return int(next(one["counter"]["packets"] for one in rule["expr"] if "counter" in one))


def ssh_between(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {"source": one["ports"][0]["uuid"], "target": other["ports"][0]["uuid"], "protocol": "tcp", "port_dst": 22}


def traced(alice: Api, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer, its probe included."""
    status, answer = alice.send("POST", "/traces", asked)
    assert status in (200, 202), answer
    path = f"/traces/{answer['uuid']}"
    found: dict[str, Any] = wait_for(lambda: (found := alice.get(path))["result"] and found["probe"] and found, 30, "it is traced", 0.2)  # fmt: skip
    return found


def test_the_guests_are_in_linux_bridges_and_reach_each_other(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    """Each has its address by DHCP: SSH answered at it."""
    assert {vm["host"] for vm in vms} == set(HOSTS)
    for vm in vms:
        short = vm["ports"][0]["uuid"][:11]
        assert sorted(links(product, vm["host"])) == sorted(f"{name}{short}" for name in ("qbr", "qvb", "qvo", "br-int qvo"))  # fmt: skip
        assert vm["ports"][0]["tap"] == f"qvo{short}"
        told = run(
            "ip", "netns", "exec", lab_netns(product.lab, vm["host"]), "bridge", "fdb", "show", "br", f"qbr{short}"
        )
        assert vm["ports"][0]["mac"] not in told, "the bridge learns nothing"
    one, other = vms
    assert " 0% packet loss" in in_guest(product, key, one, f"ping -c 3 -W 2 {other['address']}").stdout
    large = in_guest(product, key, one, f"ping -c 2 -W 2 -s {1450 - 28} {other['address']}").stdout
    assert " 0% packet loss" in large, large
    sent = in_guest(product, key, other, "dd if=/dev/zero bs=64k count=16 2>/dev/null").stdout
    assert len(sent) == 16 * 65536, "TCP passes whole: checksums are made before the bridge"
    for vm in vms:
        dropped = alice.get(f"/ports/{vm['ports'][0]['uuid']}/drops")["reasons"]
        assert not dropped, (
            "the bridge sends nothing of its own, which br-int would take for a guest's with a foreign MAC"
        )


def test_a_spoofed_address_and_a_closed_port_are_dropped_with_their_reasons(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    one, other = vms
    assert "100% packet loss" in in_guest(product, key, one, SPOOF.format(other["address"])).stdout
    port = one["ports"][0]["uuid"]
    reasons = wait_for(lambda: [row for row in alice.get(f"/ports/{port}/drops")["reasons"] if "spoof" in str(row)], 20, "it is counted", 0.3)  # fmt: skip
    assert reasons
    assert alice.send("POST", "/security-groups", {"name": "closed", "description": ""})[0] == 201
    uuid, seen = other["ports"][0]["uuid"], f"timeout 2 nc {other['address']} 22 </dev/null | head -n 1"
    assert "SSH-" in in_guest(product, key, one, seen).stdout
    assert alice.send("PUT", f"/ports/{uuid}/groups", {"groups": ["closed"]})[0] == 200
    wait_for(lambda: "SSH-" not in in_guest(product, key, one, seen).stdout, 10, "the group is in force", 0.2)
    assert alice.send("PUT", f"/ports/{uuid}/groups", {"groups": ["default", "ssh-and-ping"]})[0] == 200
    wait_for(lambda: "SSH-" in in_guest(product, key, one, seen).stdout, 10, "the old group is in force", 0.2)


def test_a_trace_passes_tap_linux_bridge_and_veth_on_both_hosts_and_back(
    product: Product, alice: Api, vms: list[dict[str, Any]]
) -> None:
    asked = ssh_between(*vms)
    told = traced(alice, asked)
    for way in ("result", "reply"):
        kinds = [hop["kind"] for hop in told[way]["hops"]]
        assert kinds[:6] == PLUGGED and kinds[-6:] == PLUGGED[::-1], kinds
        assert told[way]["verdict"] == "delivered"
    assert told["probe"]["divergence"] is None, told["probe"]
    bridge = told["result"]["hops"][3]
    short = asked["source"][:11]
    assert bridge["object"] == f"qbr{short}" and f"qvb{short}" in bridge["detail"] and "fdb" in bridge["detail"], bridge
    assert told["result"]["hops"][2]["object"] in bridge["detail"], "the tap is one of its two ports"
    assert bridge["measured"] and "ageing 0" in bridge["detail"] and "not read" not in bridge["detail"], bridge


def test_a_rule_of_the_hosts_own_drops_what_the_trace_says_it_drops_and_nothing_once_it_is_gone(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    """In the source's bridge first, then in the target's: pings stop, the rule counts them, and SSH passes all the while."""
    one, other = vms
    ping = {"source": one["ports"][0]["uuid"], "target": other["ports"][0]["uuid"], "protocol": "icmp"}
    assert traced(alice, ping)["result"]["verdict"] == "delivered"
    for vm, ends in ((one, ("tap", "linux_bridge")), (other, ("veth", "linux_bridge"))):
        bridge = f"qbr{vm['ports'][0]['uuid'][:11]}"
        with ruled(
            product, vm["host"], "bridge", f"ether daddr {other['ports'][0]['mac']} icmp type echo-request counter drop"
        ) as inside:
            told = traced(alice, ping)
            found = told["result"]
            assert found["verdict"] == "dropped", found
            assert (
                f"in the Linux bridge {bridge}" in found["reason"]
                and "icmp type echo-request counter drop" in found["reason"]
            ), found
            assert tuple(hop["kind"] for hop in found["hops"][-2:]) == ends
            assert found["cause"]["table_name"] == "bridge hsown forward" and found["cause"]["table"] is None
            assert told["reply"]["verdict"] == "delivered", "an answer is none of the rule's"
            assert "refused" in told["probe"] if vm is one else told["probe"]["divergence"] is None, told["probe"]
            assert traced(alice, {**ping, "protocol": "tcp", "port_dst": 22})["result"]["verdict"] == "delivered"
            before = counted(inside)
            assert "100% packet loss" in in_guest(product, key, one, f"ping -c 2 -W 1 {other['address']}").stdout
            assert counted(inside) == before + 2, "real packets met the rule that the trace named"
        assert traced(alice, ping)["result"]["verdict"] == "delivered"
        assert " 0% packet loss" in in_guest(product, key, one, f"ping -c 2 -W 2 {other['address']}").stdout


def test_a_bundle_of_such_a_host_answers_alike(
    product: Product, alice: Api, vms: list[dict[str, Any]], tmp_path: Path
) -> None:
    """As the target's host would get it from the tunnel; another machine has only the files."""
    one, other = vms
    paths = hypervisor_paths(product.lab, int(other["host"][2:]))
    host = Host(name=other["host"], libvirt_uri=paths.libvirt_uri, ovsdb=paths.ovsdb, ovs_rundir=str(paths.ovs_rundir))
    with ruled(product, other["host"], "bridge", f"ether daddr {other['ports'][0]['mac']} tcp dport 22 counter drop"):
        problems = write_bundle(host, tmp_path)
    assert not [problem for problem in problems if "nft" in problem or "fdb_show" in problem], problems
    ends = f"dl_src={one['ports'][0]['mac']},dl_dst={other['ports'][0]['mac']},nw_src={one['address']},nw_dst={other['address']},nw_ttl=64"  # fmt: skip
    came = next(hop for hop in traced(alice, ssh_between(one, other))["result"]["hops"] if hop["kind"] == "tunnel_decap")  # fmt: skip
    vni, ofport = came["detail"].split("VNI ")[1].split(",")[0], came["detail"].rsplit("port ", 1)[1]
    with BundleShadow(read_bundle(tmp_path)) as loaded:
        for port, verdict in ((22, "dropped"), (80, "delivered")):
            flow = f"in_port={ofport},tun_id={int(vni):#x},tcp,{ends},tp_src=40000,tp_dst={port}"
            told = trace_bundle(loaded, "br-int", flow, ())
            assert told.verdict == verdict and "linux_bridge" in [hop.kind for hop in told.hops], told.reason
            assert ("tcp dport 22 counter drop" in told.reason) == (port == 22), told.reason


def test_what_ips_chains_drop_between_bridge_ports_is_told_where_they_see_bridged_frames(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    one, other = vms
    ping = {"source": one["ports"][0]["uuid"], "target": other["ports"][0]["uuid"], "protocol": "icmp"}
    sees = netns(product, one["host"], "cat", "/proc/sys/net/bridge/bridge-nf-call-iptables").strip() == "1"
    with ruled(product, one["host"], "ip", f"ip daddr {other['address']} counter drop") as inside:
        found = traced(alice, ping)["result"]
        assert found["verdict"] == ("dropped" if sees else "delivered"), found
        said = in_guest(product, key, one, f"ping -c 2 -W 1 {other['address']}").stdout
        assert ("100% packet loss" in said) == sees and (counted(inside) > 0) == sees, said
    with ruled(product, one["host"], "bridge", "meta mark 7 drop"):
        doubtful = traced(alice, ping)["result"]
        assert doubtful["verdict"] == "unknown" and "meta mark 0x00000007 drop" in doubtful["reason"], doubtful


def test_an_entry_of_the_mac_table_that_is_wrong_is_told_and_stops_real_packets(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    """The target's MAC, as an entry at the source's own tap: a bridge sends nothing back where it came from."""
    one, other = vms
    ping = {"source": one["ports"][0]["uuid"], "target": other["ports"][0]["uuid"], "protocol": "icmp"}
    tap = next(hop["object"] for hop in traced(alice, ping)["result"]["hops"] if hop["kind"] == "tap")
    entry = (other["ports"][0]["mac"], "dev", tap, "master")
    netns(product, one["host"], "bridge", "fdb", "add", *entry, "static")
    try:
        found = traced(alice, ping)["result"]
        assert found["verdict"] == "dropped" and f"at {tap}, where the frame comes from" in found["reason"], found
        assert "100% packet loss" in in_guest(product, key, one, f"ping -c 2 -W 1 {other['address']}").stdout
    finally:
        netns(product, one["host"], "bridge", "fdb", "del", *entry)
    assert traced(alice, ping)["result"]["verdict"] == "delivered"
    assert " 0% packet loss" in in_guest(product, key, one, f"ping -c 2 -W 2 {other['address']}").stdout


def test_a_deleted_vm_leaves_no_bridge_and_no_veth(product: Product, alice: Api, vms: list[dict[str, Any]]) -> None:
    for vm in vms:
        assert alice.send("DELETE", f"/vms/{vm['uuid']}")[0] < 300
    for vm in vms:
        wait_for(lambda vm=vm: alice.get(f"/vms/{vm['uuid']}") is None, 40, "it is gone", 0.1)  # type: ignore[misc]
    for host in HOSTS:
        uri = hypervisor_paths(product.lab, int(host[2:])).libvirt_uri
        assert links(product, host) == []
        assert run("virsh", "-q", "-c", uri, "net-list", "--all", "--name").split() == []
