"""A running guest's NICs: plugged, moved, replaced and taken away, with its packets on each network.

[nics-1 eth0]--tap--[br-int]==payments-net==[access]    [nics-1 eth1]--tap--[br-int]==back: its gateway
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.guests import in_guest, script_with
from tests.e2e.test_life import ended
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
LEASE = "ip link set eth1 up; timeout 9 udhcpc -f -q -n -i eth1 -t 4 -T 1 -s /etc/dhcp >/dev/null 2>&1; ip -4 addr show eth1"


@pytest.fixture(scope="module")
def vm(product: Product, api: Api, key: Path) -> Iterator[dict[str, Any]]:
    asked = {"name": "nics-1", "image": "tiny", "flavor": "S", "network": "payments-net", "user_data": script_with(key)}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    uuid = answer["vm"]["uuid"]
    made = wait_for(lambda: (found := api.get(f"/vms/{uuid}")) and found["ssh_at"] and found, 120, "SSH answers", 0.2)
    wait_for(lambda: in_guest(product, key, made, "true").returncode == 0, 60, "the key lets in", 0.3)
    yield made
    api.send("DELETE", f"/vms/{uuid}")
    wait_for(lambda: api.get(f"/vms/{uuid}") is None, 30, "it is gone", 0.1)


def test_a_running_guest_gets_moves_and_loses_a_nic(product: Product, api: Api, key: Path, vm: dict[str, Any]) -> None:
    for name, cidr in (("back", "10.30.0.0/24"), ("store", "10.40.0.0/24")):
        status, answer = api.send("POST", "/networks", {"name": name, "cidr": cidr})
        assert status < 300, answer
    path = f"/vms/{vm['uuid']}"
    status, answer = api.send("POST", f"{path}/nics", {"network": "back"})
    assert status == 202, answer
    ended(api, answer)
    port = api.get(path)["ports"][1]
    assert port["tap"] and port["ofport"]
    wait_for(
        lambda: in_guest(product, key, vm, "test -e /sys/class/net/eth1").returncode == 0, 20, "eth1 is there", 0.3
    )
    told = in_guest(product, key, vm, f"{LEASE}; cat /sys/class/net/eth1/address; ping -c 2 -W 2 10.30.0.1").stdout
    assert port["addresses"][0] in told and port["mac"] in told and " 0% packet loss" in told, told

    status, answer = api.send("PATCH", f"{path}/nics/{port['uuid']}", {"network": "store"})
    assert status == 202, answer
    ended(api, answer)
    moved = api.get(path)["ports"][1]
    assert (moved["tap"], moved["mac"]) == (port["tap"], port["mac"]), "no device was changed"
    told = in_guest(product, key, vm, f"{LEASE}; ping -c 2 -W 2 10.40.0.1; ping -c 1 -W 1 10.30.0.1").stdout
    assert moved["addresses"][0] in told and " 0% packet loss" in told and "100% packet loss" in told, told

    ended(api, api.send("PATCH", f"{path}/nics/{port['uuid']}", {"model": "e1000e"})[1])
    pci = "cat /sys/bus/pci/devices/*/device"  # 82574L
    wait_for(lambda: "0x10d3" in in_guest(product, key, vm, pci).stdout, 20, "an e1000e is plugged", 0.3)
    ended(api, api.send("DELETE", f"{path}/nics/{port['uuid']}")[1])
    assert len(api.get(path)["ports"]) == 1
    wait_for(lambda: "0x10d3" not in in_guest(product, key, vm, pci).stdout, 20, "it is gone from the guest", 0.3)
    assert "10.40.0" not in str(api.get(path))
    for name in ("back", "store"):
        uuid = next(one["uuid"] for one in api.get("/networks")["items"] if one["name"] == name)
        assert api.send("DELETE", f"/networks/{uuid}")[0] < 300
