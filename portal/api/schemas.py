"""The shapes of the API's questions and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from portal.api.names import Given

MAX_ID = 2**53 - 1  # what JSON's readers hold exactly
NOT_READ = "as an answer's question tells it; not read"


class NewVolumeIn(Given):
    size_gib: int = Field(ge=1, le=MAX_ID)
    name: str = Field(
        "", max_length=63, description="what follows the VM's name: data makes web-1-data; none: the next"
    )
    bus: str = Field("virtio", max_length=10, description="virtio, scsi or sata")


class VMIn(Given):
    name: str
    image: str
    flavor: str
    network: str
    key: int | None = Field(None, ge=1, le=MAX_ID, description="id of one of your SSH keys")
    user_data: str = ""
    address: str | None = None
    request_key: str = Field("", max_length=64, description="the same key again gives the same VM")
    groups: list[str] | None = Field(None, max_length=50, description="security groups; none given: as your last VM")
    host: str = Field("", max_length=40, description="the host to lie on; none: the best one")
    apart: str = Field("", max_length=40, description="the team's VMs with the same word lie on different hosts")
    apart_must: bool = Field(False, description="rather not at all than on the same host")
    cpu_model: str = Field("", max_length=40)
    machine: str = Field("q35", max_length=10)
    disk_bus: str = Field("virtio", max_length=10)
    disk_cache: str = Field("writeback", max_length=12)
    nic_model: str = Field("virtio", max_length=10)
    lease_days: int = Field(0, ge=0, le=3650)
    is_autostarted: bool = False
    volumes: list[NewVolumeIn] = Field([], max_length=50, description="volumes to make, which it has at its first boot")
    attach: list[str] = Field([], max_length=50, description="names or uuids of free volumes; it lies on their host")


class VMFlags(Given):
    name: str | None = None
    tags: list[str] | None = Field(None, max_length=50)
    lease_days: int | None = Field(None, ge=0, le=MAX_ID, description="its lease ends so many days from now; 0: none")
    is_autostarted: bool | None = None
    is_protected: bool | None = None


class TraceIn(Given):
    """From a VM's port (`source`), from a `router`, or from an external network (`outside`) to a floating address."""

    source: UUID | None = Field(None, description="a VM's port")
    outside: str = Field("", max_length=40, description="in place of a source: an external network's name")
    router: str = Field("", max_length=40, description="in place of a source: the name of a router of the team")
    nic: str = Field(
        "", max_length=60, description="in place of a source: the MAC of an adopted VM's NIC that no port stands for"
    )
    source_address: str = Field(
        "", max_length=45, description="with `outside`: where it comes from; its gateway when empty"
    )
    header_fields: str = Field(
        "", max_length=300, description="not as the guest would send it: nw_ttl=1,tcp_flags=fin|ack"
    )
    target: str = Field(
        "", description="a port's uuid, a VM's name or an IP address; a DHCP or DNS question needs none"
    )
    protocol: str = Field("icmp", description="icmp, tcp, udp, sctp, arp, nd, dhcp or dns")
    port_dst: int = 0
    moment: str = Field(
        "as_is",
        description="as_is, first or established: which packet of its connection; next: the first of the next one, waited for",
    )
    size_bytes: int = 84
    deliver: bool = Field(False, description="hand one real packet over to the target's guest, who may answer it")
    at: str = Field("", max_length=40, description="an ISO time: as of then, out of the recorded flows; now when empty")
    # What an answer's question has besides, so that it is asked again as it is.
    bridge: str = Field("", description=NOT_READ)
    flow: str = Field("", description=NOT_READ)
    ct_next: list[str] = Field([], description=NOT_READ)
    source_name: str = Field("", description=NOT_READ)
    target_name: str = Field("", description=NOT_READ)
    family: int = Field(0, description=NOT_READ)
    asked_at: datetime | None = Field(None, description=NOT_READ)
    words: str = Field("", description=NOT_READ)


class PortOut(Schema):
    uuid: UUID
    name: str
    mac: str
    network: str
    model: str
    tap: str
    ofport: int | None
    addresses: list[str]
    groups: list[str]
    is_secured: bool
    conflicts: list[str] = Field(description="addresses that differ from what IPAM gave: see /ports/{uuid}/hints")


class VMOut(Schema):
    uuid: UUID
    name: str
    state: str
    state_reason: str
    host: str | None
    image: str
    flavor: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    address: str | None
    login_user: str
    ssh: str | None = Field(description="the command, where people sit")
    ports: list[PortOut]
    created_at: datetime
    started_at: datetime | None
    ssh_at: datetime | None
    observed_at: datetime | None
    is_autostarted: bool
    is_protected: bool
    pending: str
    tags: list[str]
    rescue_image: str | None
    purge_at: datetime | None
    lease_until: datetime | None
    cpu_model: str
    machine: str
    disk_bus: str
    disk_cache: str
    apart: str


class ActionOut(Schema):
    name: str
    title: str
    disabled_reason: str


class StageOut(Schema):
    position: int
    name: str
    title: str
    state: str
    detail: str
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    duration_s_label: str = ""


class OperationOut(Schema):
    uuid: UUID
    kind: str
    object_type: str
    object_uuid: UUID
    object_name: str
    state: str
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str | None
    cancel_asked_by: str | None
    retry_of: UUID | None
    stages: list[StageOut]


class LogLine(Schema):
    at: datetime
    words: str


class OperationDetail(OperationOut):
    log: list[LogLine]


class VMCreated(Schema):
    vm: VMOut
    operation: OperationOut


class Accepted(Schema):
    operation: OperationOut


class ImageOut(Schema):
    slug: str
    name: str
    note: str
    os_family: str = Field(description="as debian or windows; nothing when it is not known")
    size_bytes: int = Field(description="of its file; 0 when it is not known")
    min_ram_mib: int
    min_disk_gib: int
    login_user: str
    team: str | None = Field(description="whose it is; none: everybody's")
    is_public: bool = Field(description="whether every team is offered it")


class FlavorOut(Schema):
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int


class HostOut(Schema):
    name: str
    enabled: bool
    plug: str
    has_meters: bool | None = Field(description="false: its datapath enforces no rate limits; null: not known yet")
    in_maintenance: bool
    maintenance_note: str
    vcpus: int
    ram_mib: int
    accelerator: str
    libvirt_seen_at: datetime | None
    ovs_seen_at: datetime | None


class HostAge(Schema):
    name: str
    seen_at: datetime | None


class StatusOut(Schema):
    hosts: list[HostAge]


class TraceAsked(Schema):
    uuid: UUID
    state: str


class TraceQuestion(Schema):
    """What a trace was asked; POST /traces takes it as it is, and asks the same. A packet given as a flow has `flow` instead."""

    source: UUID | None
    outside: str
    router: str
    source_address: str
    target: str
    protocol: str
    port_dst: int
    moment: str
    size_bytes: int
    header_fields: str
    deliver: bool
    at: str = Field(description="an ISO time: as of then; as of now when empty")
    bridge: str
    flow: str
    ct_next: list[str]
    source_name: str
    target_name: str
    family: int = Field(description="4 or 6; 0 where it is not decided yet")
    asked_at: datetime
    words: str = Field(description="all of it, in one line")


class TraceOut(Schema):
    """`result`, `reply` and the probe's trace carry the question too, without its line."""

    uuid: UUID
    title: str
    state: str
    question: TraceQuestion
    result: dict[str, Any] | None
    reply: dict[str, Any] | None
    probe: dict[str, Any] | None
    error: str


class TopicOut(Schema):
    seq: int
    state: dict[str, Any]


class UsageLine(Schema):
    used: int
    limit: int


class UsageOut(Schema):
    team: str
    vcpus: UsageLine
    ram_mib: UsageLine
    disk_gib: UsageLine
    vms: UsageLine
    volumes: UsageLine
    volume_gib: UsageLine
    networks: UsageLine
    floating_addresses: UsageLine
    snapshots: UsageLine
    vm_vcpus: UsageLine = Field(description="of the largest VM, as the two below")
    vm_ram_mib: UsageLine
    vm_disk_gib: UsageLine


class AuditOut(Schema):
    id: int
    at: datetime
    actor: str
    action: str
    object_type: str
    object_id: str
    object_name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str
    request_id: str
    reason: str = Field(description="what the request gave as X-Reason, or its form")
    hash: str


class ProblemOut(Schema):
    """RFC 9457. `errors` holds field → sentences, all wrong fields at once."""

    type: str
    title: str
    status: int
    errors: dict[str, list[str]]
