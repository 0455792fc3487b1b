"""What a guest's agent tells of itself; part of LibvirtHypervisor. Whatever it says is a stranger's word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import libvirt

from tasks.hypervisor.libvirt_connection import LibvirtConnection

ANSWER_WITHIN_S = 2  # by the agent; libvirt waits no longer
MOST_OF_NIC = 16
# Nobody is there to ask: no channel, nothing in the guest that listens to it, or a guest that does not run.
_SILENT = (
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_NO_SUPPORT,
)


class LibvirtAgent(LibvirtConnection):
    """Questions to the guest agent, over the domain's channel."""

    def agent_addresses(self, domain: str) -> Mapping[str, frozenset[str]] | None:
        """MAC → addresses of the guest's NICs, as its agent tells them; None without an agent that answers in time."""

        def act(found: Any) -> dict[str, frozenset[str]]:
            found.agentSetResponseTimeout(ANSWER_WITHIN_S)
            return read_interfaces(found.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT))

        return self.if_there("ask the guest agent for its addresses", domain, act, *_SILENT)


def read_interfaces(told: Mapping[str, Mapping[str, Any]] | None) -> dict[str, frozenset[str]]:
    """libvirt's answer by MAC, of each at most `MOST_OF_NIC` addresses; what is no address is left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for interface in (told or {}).values():
        addresses = found[str(interface.get("hwaddr") or "").lower()]
        for one in interface.get("addrs") or ():
            try:
                address = ip_address(str(one.get("addr")).partition("%")[0])
            except ValueError:
                continue
            if len(addresses) < MOST_OF_NIC and not address.is_loopback:
                addresses.add(str(address))
    return {mac: frozenset(addresses) for mac, addresses in found.items() if mac}
