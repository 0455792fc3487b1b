"""Addresses of both families: lowest free, fixed, reserved, excluded, made of the MAC; and fifty at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.networks.intent import load_snapshot
from portal.networks.ipam import AddressProblem, address_ports, allocate_port, lowest_free, reserve_port
from portal.networks.models import FixedAddress, Network, Port, PortKind, Subnet
from portal.networks.mtu import network_mtu
from portal.networks.network_requests import SubnetSpec, add_subnet
from portal.networks.problems import NetworkProblem
from portal.networks.subnets import ula_subnet
from sdn.model.mtu import overhead_bytes
from tests import databases

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def network(db: None) -> Network:
    team = Team.objects.create(name="Payments", slug="payments")
    network = Network.objects.create(team=team, name="Payments net", vni=4097, router_mac="52:54:00:ff:00:01")
    Subnet.objects.create(
        network=network, cidr="10.0.0.0/24", gateway="10.0.0.1", pool_start="10.0.0.1", pool_end="10.0.0.254",
        exclusions=[["10.0.0.3", "10.0.0.5"]], routes=[["10.9.0.0/16", "10.0.0.77"]],
    )  # fmt: skip
    Subnet.objects.create(
        network=network, cidr="fd20::/64", gateway="fd20::1", pool_start="fd20::", pool_end="fd20::ffff:ffff:ffff:ffff",
        exclusions=[["fd20::", "fd20::ff"]],
    )  # fmt: skip
    return network


def addresses(port: Port) -> list[str]:
    return [row.address for row in port.addresses.all()]


def test_a_port_gets_the_lowest_free_address_of_each_family(network: Network) -> None:
    given = [addresses(allocate_port(network, name=f"vm-{number}")) for number in range(4)]
    assert given == [[f"10.0.0.{four}", f"fd20::{six}"] for four, six in ((2, 100), (6, 101), (7, 102), (8, 103))]


def test_a_gap_is_filled_first(network: Network) -> None:
    ports = [allocate_port(network, name=f"vm-{number}") for number in range(20)]
    ports[13].delete()
    ports[7].delete()
    assert addresses(allocate_port(network, name="vm-x")) == ["10.0.0.12", "fd20::107"]
    assert addresses(allocate_port(network, name="vm-y")) == ["10.0.0.18", "fd20::10d"]


def test_a_big_pool_is_counted_and_not_listed(network: Network, django_assert_max_num_queries) -> None:
    six = network.subnets.get(cidr="fd20::/64")
    port = allocate_port(network, name="vm-0")
    rows = [FixedAddress(port=port, subnet=six, address=f"fd20::{number:x}", key=f"{int(ip_address(f'fd20::{number:x}')):032x}") for number in range(0x101, 0x101 + 3000)]  # fmt: skip
    FixedAddress.objects.bulk_create(rows)
    with django_assert_max_num_queries(15) as seen:
        assert str(lowest_free(six)) == f"fd20::{0x101 + 3000:x}"
    assert all("COUNT" in query["sql"] for query in seen.captured_queries)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("10.0.0.200", ["10.0.0.200", "fd20::100"]),
        ("fd20::1:2", ["10.0.0.2", "fd20::1:2"]),
        (
            "10.0.0.4, FD20:0:0:0::BEEF",
            ["10.0.0.4", "fd20::beef"],
        ),  # an exclusion is not given by itself, but may be asked for
    ],
)
def test_fixed_addresses_are_taken_as_they_are(network: Network, asked: str, given: list[str]) -> None:
    assert addresses(allocate_port(network, name="vm-1", address=asked)) == given


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("10.0.1.7", ["10.0.1.7 was given", "10.0.0.0/24 or fd20::/64"]),
        ("10.0.0.1", ["the gateway's"]),
        ("fd20::1", ["the gateway's"]),
        ("10.0.0.255", ["10.0.0.0/24's own"]),
        ("fd20::", ["fd20::/64's own"]),
        ("ten, fd99::1", ["'ten' was given", "fd99::1 was given"]),
        ("10.0.0.7 10.0.0.8", ["at most one IPv4 address"]),
        ("10.0.0.1,fd20::1", ["10.0.0.1 was given", "fd20::1 was given"]),
    ],
)
def test_wrong_addresses_are_all_named_with_what_is_allowed(network: Network, asked: str, words: list[str]) -> None:
    with pytest.raises(AddressProblem) as problem:
        allocate_port(network, name="vm-1", address=asked)
    assert all(word in str(problem.value) for word in words), problem.value
    assert not Port.objects.exists()


def test_an_address_that_is_anothers_is_refused_with_its_name(network: Network) -> None:
    allocate_port(network, name="web-1", address="10.0.0.50")
    with pytest.raises(AddressProblem, match="it is web-1's"):
        allocate_port(network, name="web-2", address="10.0.0.50")


def test_a_reserved_port_is_taken_over_with_its_mac(network: Network) -> None:
    reserved = reserve_port(network, name="for-web", address="10.0.0.80")
    with pytest.raises(AddressProblem, match="reserved already, as for-web"):
        reserve_port(network, name="again", address="10.0.0.80")
    port = allocate_port(network, name="web-1", address="10.0.0.80")
    assert (port.pk, port.mac, port.kind, port.name) == (reserved.pk, reserved.mac, PortKind.VM, "web-1")
    assert addresses(port) == ["10.0.0.80", "fd20::100"]


def test_in_a_slaac_subnet_the_address_is_made_of_the_mac(network: Network) -> None:
    network.subnets.filter(cidr="fd20::/64").update(is_slaac=True)
    port = allocate_port(network, name="vm-1")
    tail = port.mac.replace(":", "")
    assert ip_address(addresses(port)[1]) == ip_address(f"fd20::5054:ff:fe{tail[6:8]}:{tail[8:]}")
    with pytest.raises(AddressProblem, match="made of the port's MAC"):
        allocate_port(network, name="vm-2", address="fd20::7")


def test_a_network_becomes_dual_stack_with_its_ports(network: Network) -> None:
    network.subnets.filter(cidr="fd20::/64").delete()
    ports = [allocate_port(network, name=f"vm-{number}") for number in range(3)]
    six = add_subnet(network, SubnetSpec("fd55::/64"))
    assert address_ports(six) == 0, "they have one each by now"
    assert all(ip_address(addresses(port)[1]) in ip_network(six.cidr) for port in ports)
    assert addresses(allocate_port(network, name="vm-9"))[1].startswith("fd")


def test_a_subnet_that_is_too_small_for_the_ports_that_need_it_is_refused_whole(network: Network) -> None:
    network.subnets.filter(cidr="10.0.0.0/24").delete()
    for number in range(6):
        allocate_port(network, name=f"vm-{number}")
    with pytest.raises(NetworkProblem, match="too few addresses for the ports of Payments net: make it larger"):
        add_subnet(network, SubnetSpec("10.9.0.0/29"))
    assert not network.subnets.filter(cidr="10.9.0.0/29").exists()


def test_a_full_network_says_so(network: Network) -> None:
    network.subnets.filter(cidr="10.0.0.0/24").update(pool_end="10.0.0.6")
    for number in range(2):
        allocate_port(network, name=f"vm-{number}")
    with pytest.raises(AddressProblem, match=r"all 2 addresses of .* are taken"):
        allocate_port(network, name="vm-3")


def test_the_database_itself_refuses_an_address_twice(network: Network) -> None:
    port = allocate_port(network, name="vm-1")
    six = network.subnets.get(cidr="fd20::/64")
    with pytest.raises(IntegrityError), transaction.atomic():
        FixedAddress.objects.create(port=port, subnet=six, address="fd20:0::0100")


def test_the_intent_has_both_families_the_domain_and_the_routes(network: Network) -> None:
    allocate_port(network, name="vm-1")
    snapshot = load_snapshot()
    assert [str(address) for address in snapshot.ports[0].addresses] == ["10.0.0.2", "fd20::100"]
    told = snapshot.networks[0]
    assert told.domain == "payments-net.payments.internal"
    assert str(told.subnets[0].routes[0].destination) == "10.9.0.0/16"


def test_a_networks_own_prefix_is_unique_and_local(network: Network) -> None:
    columns = ula_subnet(network)
    assert columns["cidr"].startswith("fd") and columns["cidr"].endswith("/64") and columns["is_slaac"]
    assert ula_subnet(network) == columns


def test_the_mtu_follows_the_underlay(db: None) -> None:
    assert network_mtu() == 1450
    for name, ip, mtu in (("hv1", "192.0.2.1", 9000), ("hv2", "192.0.2.2", 1600)):
        Host.objects.create(name=name, libvirt_uri="", ovsdb="", ovs_rundir="", controller_target="", disks_dir="", underlay_ip=ip, underlay_mtu=mtu)  # fmt: skip
    assert network_mtu("vxlan") == 1500
    Host.objects.filter(name="hv2").update(underlay_mtu=1400)
    assert (network_mtu("vxlan"), network_mtu("geneve"), network_mtu("vlan")) == (1350, 1350, 1400)
    assert overhead_bytes("vxlan", 6) == 70


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process on a fresh database of that kind."""
    environment = {**os.environ, "HOPSIGHT_STATE": str(tmp_path)}
    environment.pop(databases.VARIABLE, None)
    if request.param == "sqlite":
        yield environment
        return
    with databases.cluster() as url:
        yield environment | {databases.VARIABLE: url}


def test_fifty_creates_at_once_get_fifty_addresses_and_what_does_not_fit_is_refused(database: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "tests.portal.many_creates", "50", "40"]
    done = subprocess.run(argv, env=database, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(int(four.rpartition(".")[2]) for four, _ in told["given"]) == list(range(10, 50))
    assert sorted(int(six.rpartition(":")[2], 16) for _, six in told["given"]) == list(range(2, 42))
    assert len(told["refused"]) == 10 and "is full" in told["refused"][0]
