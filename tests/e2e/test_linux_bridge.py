"""Guests plugged by a Linux bridge each: addressed, filtered, traced and taken away like the rest.

[lb-1]--tap--[qbr]--qvb=qvo--[br-int@hv1]==vni==[br-int@hv2]--qvo=qvb--[qbr]--tap--[lb-2]
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.commands import run
from lab.paths import hypervisor_paths, lab_netns
from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.test_main_job import SSH_OPTIONS
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
HOSTS = ("hv1", "hv2")
PLUGGED = ["guest_nic", "backend", "tap", "linux_bridge", "veth", "bridge"]
SPOOF = "ip address add 10.20.0.99/24 dev eth0; ping -c 2 -W 1 -I 10.20.0.99 {}; ip address del 10.20.0.99/24 dev eth0"


@pytest.fixture(scope="module")
def alice(product: Product) -> Api:
    return Api(product, "alice")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def vms(product: Product, alice: Api, key: Path) -> Iterator[list[dict[str, Any]]]:
    """Two VMs, one a host, that were made while both hosts plugged guests into Linux bridges."""
    olga = Api(product, "olga")
    for host in HOSTS:
        status, answer = olga.send("PATCH", f"/hosts/{host}", {"plug": "bridge"})
        assert (status, answer["plug"]) == (200, "bridge"), answer
    script = f"#!/bin/sh\nmkdir -p /root/.ssh\necho '{Path(f'{key}.pub').read_text().strip()}' >> /root/.ssh/authorized_keys\n"
    asked = [{"name": name, "image": "tiny", "flavor": "S", "network": "payments-net", "user_data": script} for name in ("lb-1", "lb-2")]  # fmt: skip
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


def in_guest(product: Product, key: Path, vm: dict[str, Any], command: str) -> str:
    return product.in_access("ssh", "-i", str(key), *SSH_OPTIONS, f"root@{vm['address']}", command, timeout=60).stdout


def links(product: Product, host: str) -> list[str]:
    """The host's interfaces of Linux bridges, and the ports of br-int that are such a cable's end."""
    paths = hypervisor_paths(product.lab, int(host[2:]))
    told = json.loads(run("ip", "-j", "-n", lab_netns(product.lab, host), "link", "show"))
    names = [one["ifname"] for one in told if one["ifname"].startswith(("qbr", "qvb", "qvo"))]
    ports = run("ovs-vsctl", f"--db={paths.ovsdb}", "list-ports", "br-int").split()
    return [*names, *(f"br-int {port}" for port in ports if port.startswith("qvo"))]


def test_the_guests_are_in_linux_bridges_and_reach_each_other(product: Product, key: Path, vms: list[dict[str, Any]]) -> None:  # fmt: skip
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
    assert " 0% packet loss" in in_guest(product, key, one, f"ping -c 3 -W 2 {other['address']}")
    large = in_guest(product, key, one, f"ping -c 2 -W 2 -s {1450 - 28} {other['address']}")
    assert " 0% packet loss" in large, large
    sent = in_guest(product, key, other, "dd if=/dev/zero bs=64k count=16 2>/dev/null")
    assert len(sent) == 16 * 65536, "TCP passes whole: checksums are made before the bridge"


def test_a_spoofed_address_and_a_closed_port_are_dropped_with_their_reasons(
    product: Product, alice: Api, key: Path, vms: list[dict[str, Any]]
) -> None:
    one, other = vms
    assert "100% packet loss" in in_guest(product, key, one, SPOOF.format(other["address"]))
    port = one["ports"][0]["uuid"]
    reasons = wait_for(lambda: [row for row in alice.get(f"/ports/{port}/drops")["reasons"] if "spoof" in str(row)], 20, "it is counted", 0.3)  # fmt: skip
    assert reasons
    assert alice.send("POST", "/security-groups", {"name": "closed", "description": ""})[0] == 201
    uuid, seen = other["ports"][0]["uuid"], f"timeout 2 nc {other['address']} 22 </dev/null | head -n 1"
    assert "SSH-" in in_guest(product, key, one, seen)
    assert alice.send("PUT", f"/ports/{uuid}/groups", {"groups": ["closed"]})[0] == 200
    wait_for(lambda: "SSH-" not in in_guest(product, key, one, seen), 10, "the group is in force", 0.2)
    assert alice.send("PUT", f"/ports/{uuid}/groups", {"groups": ["default", "ssh-and-ping"]})[0] == 200
    wait_for(lambda: "SSH-" in in_guest(product, key, one, seen), 10, "the old group is in force", 0.2)


def test_a_trace_passes_tap_linux_bridge_and_veth_on_both_hosts_and_back(
    product: Product, alice: Api, vms: list[dict[str, Any]]
) -> None:
    one, other = vms
    asked = {"source": one["ports"][0]["uuid"], "target": other["ports"][0]["uuid"], "protocol": "tcp", "port_dst": 22}
    status, answer = alice.send("POST", "/traces", asked)
    assert status in (200, 202), answer
    path = f"/traces/{answer['uuid']}"
    told = wait_for(lambda: (found := alice.get(path))["result"] and found["probe"] and found, 30, "it is traced", 0.2)
    for way in ("result", "reply"):
        kinds = [hop["kind"] for hop in told[way]["hops"]]
        assert kinds[:6] == PLUGGED and kinds[-6:] == PLUGGED[::-1], kinds
        assert told[way]["verdict"] == "delivered"
    assert told["probe"]["divergence"] is None, told["probe"]
    bridge = told["result"]["hops"][3]
    short = asked["source"][:11]
    assert bridge["object"] == f"qbr{short}" and f"qvb{short}" in bridge["detail"] and "fdb" in bridge["detail"], bridge
    assert told["result"]["hops"][2]["object"] in bridge["detail"], "the tap is one of its two ports"


def test_a_deleted_vm_leaves_no_bridge_and_no_veth(product: Product, alice: Api, vms: list[dict[str, Any]]) -> None:
    for vm in vms:
        assert alice.send("DELETE", f"/vms/{vm['uuid']}")[0] < 300
    for vm in vms:
        wait_for(lambda vm=vm: alice.get(f"/vms/{vm['uuid']}") is None, 40, "it is gone", 0.1)  # type: ignore[misc]
    for host in HOSTS:
        uri = hypervisor_paths(product.lab, int(host[2:])).libvirt_uri
        assert links(product, host) == []
        assert run("virsh", "-q", "-c", uri, "net-list", "--all", "--name").split() == []
