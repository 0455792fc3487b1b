"""One host over REST, and the changes of the list, for operators."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import HostOut
from portal.api.tags import tag_changeable
from portal.hosts.health import troubles
from portal.hosts.manage_views import switch_of
from portal.hosts.models import Host
from portal.hosts.register import HostSpec, enable_host, register_host, remove_host
from portal.hosts.requests import set_plug
from portal.topology.models import HostSeen
from portal.topology.namespaces import namespaces_from_json, namespaces_to_json
from portal.topology.neighbours import lldp_from_json, lldp_to_json

router = Router()
Text = Annotated[str, Field(max_length=300)]
Mtu = Annotated[int, Field(ge=0, le=2**31 - 1)]
COLUMNS = tuple(one.name for one in fields(HostSpec))


class TroubleOut(Schema):
    words: str
    do: str = Field(description="what to do")


class NeighbourOut(Schema):
    """What is at the other end of a NIC's cable, in its own words by LLDP."""

    nic: str
    protocol: str
    system: str
    chassis: str
    port: str = Field(description="the neighbour's own end")
    description: str
    vlan: int = Field(description="its untagged VLAN, 0 where it tells none")
    vlans: list[int]
    addresses: list[str] = Field(description="where it is managed")


class LldpOut(Schema):
    state: str = Field(
        description='answers, absent (no lldpd to be asked), unread (see "problem"), or empty: not yet asked'
    )
    problem: str
    neighbours: list[NeighbourOut]


class NamespaceInterfaceOut(Schema):
    name: str
    kind: str = Field(description="the kernel's word for what it is: veth, openvswitch, bridge, ...")
    mac: str
    addresses: list[str]
    state: str = Field(description="UP, or DOWN where it or its other end is")
    mtu: int
    bridge: str = Field(description="the bridge in the namespace that it is in, empty for none")
    port: str = Field(
        description="the host's end of its cable, or itself where it is an internal port of Open vSwitch; empty for neither"
    )
    port_bridge: str = Field(description="the Linux bridge that the host's end is in, empty for none")


class NamespaceOut(Schema):
    """A network namespace, by the name that `ip netns` has for it, else by a process in it ("pid 4711")."""

    name: str
    process: str = Field(description="what runs in it, empty where no process was seen")
    interfaces: list[NamespaceInterfaceOut]


class NamespacesOut(Schema):
    state: str = Field(
        description='read, unread (see "problem"; what is listed was seen before), or empty: not yet looked'
    )
    problem: str
    namespaces: list[NamespaceOut]


class HostDetail(Schema):
    """`troubles` are empty for a host that is fine; `switch` is its Open vSwitch as OVSDB has it."""

    name: str
    underlay_ip: str
    underlay_mtu: int
    libvirt_uri: str
    ovsdb: str
    ovs_rundir: str
    controller_target: str
    datapath_type: str
    disks_dir: str
    enabled: bool
    plug: str
    vcpus: int
    ram_mib: int
    accelerator: str
    libvirt_version: str
    ovs_version: str
    libvirt_seen_at: datetime | None
    ovs_seen_at: datetime | None
    vms: int
    troubles: list[TroubleOut]
    switch: dict[str, Any] | None
    lldp: LldpOut = Field(description="who is at the other ends of its NICs' cables, where its lldpd tells")
    namespaces: NamespacesOut = Field(description="its network namespaces, where its kernel can be read")


class HostIn(Given):
    name: Annotated[str, Field(max_length=100)]
    underlay_ip: Annotated[str, Field(max_length=100)]
    underlay_mtu: Mtu = 1500
    libvirt_uri: Text = HostSpec.libvirt_uri
    ovsdb: Text = HostSpec.ovsdb
    ovs_rundir: Text = HostSpec.ovs_rundir
    controller_target: Text = HostSpec.controller_target
    datapath_type: Text = HostSpec.datapath_type
    disks_dir: Text = HostSpec.disks_dir


class HostChange(Given):
    """What is not given stays."""

    plug: str | None = Field(
        None, max_length=20, description="direct (a guest's tap is put into br-int) or bridge (into a Linux bridge)"
    )
    enabled: bool | None = Field(None, description="whether it takes new VMs")
    underlay_ip: Annotated[str | None, Field(max_length=100)] = None
    underlay_mtu: Mtu | None = None
    libvirt_uri: Text | None = None
    ovsdb: Text | None = None
    ovs_rundir: Text | None = None
    controller_target: Text | None = None
    datapath_type: Text | None = None
    disks_dir: Text | None = None


@router.get("/hosts", response=Page[HostOut], summary="Hosts, for operators")
def list_hosts(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    require(request, "host.see")
    return as_page(*page_of(Host.objects.all(), paging))


@router.post("/hosts", response={201: HostDetail}, summary="Register a host; nothing is changed on it")
def post_host(request: HttpRequest, asked: HostIn) -> Any:
    require(request, "host.change")
    return Status(201, _detail(register_host(HostSpec(**asked.model_dump()), person(request), new=True)))


@router.get("/hosts/{host}", response=HostDetail, summary="One host: what is wrong with it, its switch, its VMs")
def get_host(request: HttpRequest, host: str, answer: HttpResponse) -> Any:
    require(request, "host.see")
    row = _named(host)
    tag_changeable(answer, row.uuid, *(getattr(row, name) for name in HostChange.model_fields))
    return _detail(row)


@router.patch(
    "/hosts/{host}", response=HostDetail, summary="Take a host out of placement or back, or change how it is reached"
)
def patch_host(request: HttpRequest, host: str, asked: HostChange) -> Any:
    require(request, "host.change")
    row = _named(host)
    given = {name: value for name, value in asked.model_dump().items() if value is not None and name != "enabled"}
    if (plug := given.pop("plug", None)) is not None:
        row = set_plug(row, plug, person(request))
    if given:
        now = {name: getattr(row, name) for name in COLUMNS}
        row = register_host(HostSpec(**{**now, **given}), person(request), new=False)
    if asked.enabled is not None and asked.enabled != row.enabled:
        enable_host(row, asked.enabled, person(request))
    return _detail(row)


@router.delete("/hosts/{host}", response={204: None}, summary="Forget a host that no VM is on")
def delete_host(request: HttpRequest, host: str) -> Any:
    require(request, "host.change")
    remove_host(_named(host), person(request))
    return Status(204, None)


def _named(name: str) -> Host:
    return get_object_or_404(Host, name=name.replace("\0", ""))


def _detail(row: Host) -> dict[str, Any]:
    switch = switch_of(row)
    columns = {name: getattr(row, name) for name in HostDetail.model_fields if hasattr(row, name) and name != "vms"}
    told = [asdict(one) for one in troubles(row, switch, timezone.now())]
    lldp, netns = HostSeen.objects.filter(host=row).values_list("lldp", "namespaces").first() or (None, None)
    seen = {
        "switch": asdict(switch) if switch else None,
        "lldp": lldp_to_json(lldp_from_json(lldp)),
        "namespaces": namespaces_to_json(namespaces_from_json(netns)),
    }
    return {**columns, "vms": row.vms.count(), "troubles": told, **seen}
