"""A guest's NIC that no port of Open vSwitch stands for, and what is true of each kind: a trace from or to it ends there.

Sources: libvirt's formatdomain (network interfaces, host devices), the kernel's macvlan.c for the modes of macvtap,
formatnetwork (forward modes) for pools.
"""

from __future__ import annotations

from dataclasses import dataclass

HANDED_OVER = ("vf", "pool", "pci")  # the guest drives the card by itself
_PAST = "no flow, rule or counter of Open vSwitch meets them, and nothing here can predict where they go"
_LEAVES = "Open vSwitch is not on the way, and nothing here can predict what becomes of them outside"

# kind → what it is; {device}, the parent or socket or network
LABELS: dict[str, str] = {
    "vf": "SR-IOV virtual function {device}",
    "pool": "an SR-IOV virtual function out of libvirt's pool {device}",
    "pci": "PCI device {device}, passed through whole",
    "macvtap": "macvtap in mode {mode} on {device}",
    "vhostuser": "vhost-user socket {device}",
    "vdpa": "vDPA device {device}",
    "network": "libvirt's network {device}",
    "bridge": "bridge {device} of the kernel",
    "ethernet": "tap {device} outside of Open vSwitch",
    "user": "QEMU's own user-mode network",
    "other": "{device}",
}
# kind, or kind and mode → where its frames go
TRUTHS: dict[str, str] = {
    "vf": f"the guest drives the card itself, and its frames leave by the card's own switch: {_PAST}",
    "pool": f"the guest drives the card itself, and its frames leave by the card's own switch: {_PAST}",
    "pci": f"the guest drives the whole card, and its frames leave by the card's own wire: {_PAST}",
    "macvtap vepa": f"every frame leaves the host by {{device}}, even one for a neighbour on it, which arrives only if the switch outside sends it back: {_LEAVES}",
    "macvtap bridge": f"the kernel hands frames straight to other macvtaps in mode bridge on {{device}}, and all others leave the host by it: {_LEAVES}",
    "macvtap private": f"every frame leaves the host by {{device}}, and what a neighbour on it asks by broadcast (ARP, neighbour discovery) never arrives, even where the switch outside sends it back: {_LEAVES}",
    "macvtap passthrough": f"{{device}} is this guest's alone and every frame leaves the host by it: {_LEAVES}",
    "vhostuser": "the process at the socket's other end moves its frames, and no port of Open vSwitch that is known here has this socket: nothing here can predict where they go",
    "vdpa": f"the card serves the guest's rings in hardware: {_PAST}",
    "network": f"libvirt's own bridge carries its frames: {_LEAVES}",
    "bridge": f"the kernel's bridge carries its frames: {_LEAVES}",
    "ethernet": f"somebody else moves the tap's frames: {_LEAVES}",
    "user": f"QEMU itself answers the guest and opens its connections as a process of the host: {_LEAVES}",
    "other": _LEAVES,
}


@dataclass(frozen=True, slots=True)
class Bypass:
    """`device` is the PCI address (0000:3b:10.2), parent device, socket, network or bridge; "" where nothing tells it.

    `vlan` is what libvirt sets on the device: "42", or "42, 43" for a trunk; "" for none.
    """

    kind: str
    device: str = ""
    mode: str = ""
    vlan: str = ""

    @property
    def label(self) -> str:
        """What the NIC is, in a few words."""
        words = LABELS.get(self.kind, LABELS["other"]).format(device=self.device or "not told", mode=self.mode)
        return f"{words}, VLAN {self.vlan}" if self.vlan else words

    @property
    def truth(self) -> str:
        """Where its frames go, half a sentence."""
        words = TRUTHS.get(f"{self.kind} {self.mode}") or TRUTHS.get(self.kind) or TRUTHS["other"]
        return words.format(device=self.device or "its parent device")

    @property
    def is_handed_over(self) -> bool:
        """Is it a device of the host that the guest drives by itself?"""
        return self.kind in HANDED_OVER

    @property
    def commands(self) -> tuple[str, ...]:
        """What shows the device on its host."""
        if self.kind in ("vf", "pci") and self.device:
            node = self.device.replace(":", "_").replace(".", "_")
            return (f"virsh nodedev-dumpxml pci_{node}", f"lspci -v -s {self.device}")
        if self.kind == "macvtap":
            return ("ip -d link show type macvtap", f"ip -s link show {self.device}")
        if self.kind in ("pool", "network"):
            return (f"virsh net-dumpxml {self.device}",)
        return (f"bridge link show master {self.device}",) if self.kind == "bridge" else ()

    def words_from(self, name: str) -> str:
        """Why a packet that `name` sends is not followed: one sentence."""
        return f"The way ends at {name}'s NIC, {self.label}: {self.truth}."

    def words_to(self, name: str) -> str:
        """What is to be said of a packet for `name`: one sentence."""
        return f"{name}'s NIC is {self.label}, which no port of Open vSwitch leads to: {self.truth}."
