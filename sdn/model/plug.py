"""How a guest's NIC reaches br-int by a Linux bridge (the hybrid plug): names that libvirt, its hook and the trace share.

tap in the bridge `qbr…`, and a veth pair from it, `qvb…`, to `qvo…`, which is the port of br-int; each named by the start of the
port's uuid. libvirt makes the bridge, as that of a network of the port's own; its hook cables it (portal/hosts/hooks).
"""

from __future__ import annotations

NETWORK_PREFIX = "hs-"
BRIDGE_PREFIX, BRIDGE_END_PREFIX, SWITCH_END_PREFIX = "qbr", "qvb", "qvo"
_NAMED_BY = 11  # characters of the uuid: a kernel's interface name has at most 15


def bridge_network(port: str) -> str:
    """The libvirt network of a port's own bridge."""
    return NETWORK_PREFIX + port


def port_of_network(name: str) -> str:
    """The port (its uuid) whose network that is; "" where it is another's."""
    rest = name.removeprefix(NETWORK_PREFIX)
    return rest if rest != name and len(rest) == 36 else ""


def bridge_name(port: str) -> str:
    """The Linux bridge of a port."""
    return BRIDGE_PREFIX + port[:_NAMED_BY]


def veth_names(port: str) -> tuple[str, str]:
    """The ends of a port's cable: in the Linux bridge, in br-int."""
    return BRIDGE_END_PREFIX + port[:_NAMED_BY], SWITCH_END_PREFIX + port[:_NAMED_BY]
