"""A NIC's device chain as the host tells it: the driver model, who moves its frames, and the tap they come out of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from sdn.model.bypass import Bypass


@dataclass(frozen=True, slots=True)
class DeviceChain:
    """What libvirt's live XML and sysfs say of one NIC. Empty or 0 where neither says it; nothing is guessed."""

    model: str = ""  # the device that the guest's driver sees: virtio, e1000, …
    backend: str = ""  # "qemu" (a process moves each frame), "vhost-net" (the kernel), "vhost-user"
    queues: int = 0  # pairs of rx and tx queues
    ring_size: int = 0  # descriptors of the receive ring, where the XML sets it
    bridge: str = ""
    tap: str = ""
    tap_mac: str = ""
    tap_link: str = ""  # "up" or "down"
    tap_mtu: int = 0
    tap_driver: str = ""  # as ethtool tells: "tun"
    tap_dropped: int = 0  # frames for the guest that the tap dropped
    offloads: str = ""  # what the XML switches off, in words
    veth: str = ""  # the end in the Linux bridge of the pair that cables it to br-int; "": the tap is in br-int itself
    bridge_ports: str = ""  # what is in that Linux bridge, by name
    bypass_kind: str = ""  # of a NIC that no port of Open vSwitch stands for: sdn.model.bypass
    bypass_device: str = ""
    bypass_mode: str = ""
    bypass_vlan: str = ""
    seen_at: str = ""  # ISO 8601, UTC

    @property
    def backend_words(self) -> str:
        """Who moves the frames, in words."""
        return BACKEND_WORDS.get(self.backend, self.backend)

    @property
    def bypass(self) -> Bypass | None:
        """What the NIC is, where it goes past Open vSwitch."""
        if not self.bypass_kind:
            return None
        return Bypass(self.bypass_kind, self.bypass_device, self.bypass_mode, self.bypass_vlan)

    @property
    def is_link_down(self) -> bool:
        return self.tap_link in ("down", "lowerlayerdown", "notpresent")


BACKEND_WORDS = {
    "qemu": "QEMU's own process moves each frame",
    "vhost-net": "the kernel's vhost thread moves frames",
    "vhost-user": "the switch polls the rings itself",
}


def chain_past(bypass: Bypass, model: str = "", seen_at: str = "") -> DeviceChain:
    """The chain of a NIC that goes past Open vSwitch: it has neither back end nor tap of ours."""
    return DeviceChain(
        model=model, bypass_kind=bypass.kind, bypass_device=bypass.device, bypass_mode=bypass.mode,
        bypass_vlan=bypass.vlan, seen_at=seen_at,
    )  # fmt: skip


def chain_to_json(chain: DeviceChain) -> dict[str, Any]:
    """What is stored in the port's row."""
    return asdict(chain)


def chain_from_json(value: object) -> DeviceChain:
    """The chain of a stored row; unknown keys are left out, and anything else is an empty chain."""
    if not isinstance(value, dict):
        return DeviceChain()
    known = {one.name: type(one.default) for one in fields(DeviceChain)}
    kept: dict[str, Any] = {name: item for name, item in value.items() if isinstance(item, known.get(name, ()))}
    return DeviceChain(**kept)
