"""What a VM's page shows beyond its row: timings, the timeline, the device chain and the equivalent commands."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext

from portal.compute.models import VM
from portal.networks.models import Port
from portal.networks.zones import ct_zone
from portal.operations.models import Operation
from sdn.model.bypass import Bypass
from sdn.model.device import DeviceChain, chain_from_json

COLOURS = {"place": "n-7", "disk": "n-7", "seed": "n-7", "define": "l-host", "start": "l-host", "wire": "l-overlay"}


@dataclass(frozen=True)
class Bar:
    title: str
    left: str
    width: str
    colour: str
    duration_s: float


@dataclass(frozen=True)
class Device:
    layer: str
    css: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    runnable_s: float | None
    boot_s: float | None
    ssh_s: float | None


def ssh_line(vm: VM, address: str | None) -> str:
    """The command that logs in, or nothing before there is an address."""
    if not address:
        return ""
    return f"{settings.SSH_PREFIX} ssh {vm.image.login_user}@{address}".strip()


def timing_of(vm: VM, operation: Operation | None) -> Timing:
    """Seconds from asking until every stage was done, from libvirt's start to SSH, and from asking to SSH."""
    ended = operation.finished_at if operation and operation.state == "done" else None
    return Timing(
        _between(vm.created_at, ended), _between(vm.started_at, vm.ssh_at), _between(vm.created_at, vm.ssh_at)
    )


def timeline_of(vm: VM, operation: Operation | None) -> list[Bar]:
    """The create operation's ended stages and the boot, placed on one time axis."""
    if operation is None:
        return []
    spans = [
        (gettext(stage.title), stage.started_at, stage.finished_at, COLOURS.get(stage.name, "n-7"))
        for stage in operation.stages.all()
    ]
    spans.append((gettext("Guest boots, SSH answers"), vm.started_at, vm.ssh_at, "v-delivered"))
    whole = [(title, start, end, colour) for title, start, end, colour in spans if start and end]
    if not whole:
        return []
    first = min(vm.created_at, *(start for _, start, _, _ in whole))
    total = max((end - first).total_seconds() for _, _, end, _ in whole) or 1.0
    return [
        Bar(
            title,
            f"{100 * (start - first).total_seconds() / total:.1f}",
            f"{max(0.4, 100 * (end - start).total_seconds() / total):.1f}",
            colour,
            (end - start).total_seconds(),
        )
        for title, start, end, colour in whole
    ]


def devices_of(vm: VM, port: Port | None) -> list[Device]:
    """The path of a frame from the guest's driver to the overlay, as far as rows know it."""
    host = f"Host {vm.host.name}" if vm.host else "Host, not chosen yet"
    if port is None:
        return [device for nic in vm.foreign_nics[:1] for device in past_devices(host, nic.mac, nic.model, nic.past)]
    ofport = f"port {port.ofport}" if port.ofport else "port, not plugged"
    chain = chain_from_json(port.device_chain)
    if chain.bypass is not None and port.ofport is None:
        return past_devices(host, port.mac, chain.model, chain.bypass)
    return [
        Device("Guest", "dev--guest", f"eth0, {chain.model or port.nic_model}", (port.mac, f"mtu {port.network.mtu}")),
        Device("Guest", "dev--guest", _queue_title(chain), _queue_lines(chain)),
        Device(host, "", f"{chain.backend or port.backend} back end", (chain.backend_words or "not read yet",)),
        *_plug_devices(host, port, chain),
        Device(host, "", f"br-int {ofport}", (f"iface-id {str(port.uuid)[:8]}…", f"ct zone {ct_zone(port)}")),
        Device("Overlay", "dev--overlay", "vxlan", (f"VNI {port.network.vni}, udp/4789", "to the other hosts")),
    ]  # fmt: skip


def past_devices(host: str, mac: str, model: str, bypass: Bypass) -> list[Device]:
    """The way of a frame from a NIC past Open vSwitch: it ends at the device, with the words for it."""
    kind = "passthrough" if bypass.is_handed_over else model or "its own driver"
    return [
        Device("Guest", "dev--guest", f"NIC, {kind}", (mac or "its MAC is not told",)),
        Device(host, "", bypass.label, ("no port of Open vSwitch",)),
        Device(gettext("Past here"), "dev--overlay", gettext("nothing is known"), (bypass.truth,)),
    ]


def _plug_devices(host: str, port: Port, chain: DeviceChain) -> list[Device]:
    """The tap, and where it is in a Linux bridge that bridge and its cable."""
    if not chain.veth:
        title = f"tap {port.tap}" if port.tap else "tap, not plugged"
        return [Device(host, "dev--bad" if chain.is_link_down else "", title, _tap_lines(chain))]
    inside = f"ports {chain.bridge_ports}" if chain.bridge_ports else "not read yet"
    return [
        Device(host, "", f"tap {chain.tap}", (f"in {chain.bridge}",)),
        Device(host, "", f"Linux bridge {chain.bridge}", (inside, "learns no MAC, ageing 0")),
        Device(host, "", "veth pair", (f"{chain.veth} in the bridge", f"{port.tap or 'its other end'} in br-int")),
    ]


def _queue_title(chain: DeviceChain) -> str:
    if not chain.model:
        return "queues, not read yet"
    kind = "virtqueue pair" if chain.model.startswith("virtio") else "emulated ring"
    return f"{chain.queues or 1} {kind}{'s' * ((chain.queues or 1) != 1)}"


def _queue_lines(chain: DeviceChain) -> tuple[str, ...]:
    """The rings' size and the offloads, as the live XML has them."""
    if not chain.model:
        return ("libvirt tells at start",)
    size = f"rx ring {chain.ring_size}" if chain.ring_size else "rings of the default size"
    return (size, f"off: {chain.offloads}" if chain.offloads else "offloads on")


def _tap_lines(chain: DeviceChain) -> tuple[str, ...]:
    """What the switch read of the tap when it was wired."""
    facts = [f"link {chain.tap_link}" if chain.tap_link else "", f"mtu {chain.tap_mtu}" if chain.tap_mtu else ""]
    lines = [", ".join(fact for fact in facts if fact), chain.tap_mac, f"driver {chain.tap_driver}" if chain.tap_driver else ""]  # fmt: skip
    known = tuple(line for line in lines if line)
    return known or ("not read yet",)


def virsh_line(vm: VM, verb: str) -> str:
    """virsh's command with this verb for the VM's domain on its host."""
    uri = shlex.quote(vm.host.libvirt_uri) if vm.host else "qemu:///system"
    return f"virsh -c {uri} {verb} {vm.domain}"


def commands_of(vm: VM, port: Port | None) -> list[tuple[str, str]]:
    """Words and the command that shows the same on the host."""
    found = [
        ("State", virsh_line(vm, "domstate")),
        ("Its XML", virsh_line(vm, "dumpxml")),
        ("Serial console", virsh_line(vm, "console")),
    ]
    if port is not None:
        find = f"ovs-vsctl --columns=name,ofport,external_ids find Interface external_ids:iface-id={port.uuid}"
        found.append(("Its OVS port", find))
    if port is not None and port.ofport:
        found.append(("Its flows", f"ovs-ofctl -O OpenFlow14 dump-flows br-int in_port={port.ofport}"))
    return found


def _between(first: datetime | None, last: datetime | None) -> float | None:
    return (last - first).total_seconds() if first and last else None
