"""Payments' VMs as if they ran: rows with hosts and ofports, and the worker's shadow, one for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from portal.networks.groups import create_group, set_port_groups
from portal.networks.models import Port, SecurityGroup
from tasks.shadows import desk
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm


@pytest.fixture(scope="package", autouse=True)
def shadow_ends() -> Iterator[None]:
    yield
    desk.close()


@dataclass(frozen=True)
class Town:
    """[web-1]--[br-int@hv1]==[br-int@hv2]--[db-1]   [web-2]--[br-int@hv1], all of group `closed`, which allows all out."""

    cast: Cast
    web_1: Port
    web_2: Port
    db_1: Port
    closed: SecurityGroup


@pytest.fixture
def town(cast: Cast) -> Town:
    hosts = {name: made_host(name) for name in ("hv1", "hv2")}
    closed = create_group(cast.payments, "closed")
    for family in (4, 6):
        closed.rules.create(direction="egress", family=family, protocol="any")
    ports = []
    for ofport, (name, host) in enumerate((("web-1", "hv1"), ("web-2", "hv1"), ("db-1", "hv2")), start=7):
        port: Port = made_vm(cast, name).ports.get()
        port.host, port.ofport, port.tap = hosts[host], ofport, f"vnet{ofport}"
        port.save()
        set_port_groups(port, [closed])
        ports.append(port)
    return Town(cast, *ports, closed)
