"""Namespaces and cables: the underlay bridge in a namespace of its own, the internet, the access port.

The underlay stays out of the root namespace because a Docker engine's `br_netfilter` would eat its packets there.
Checksum offloads are off on every veth: OVS's userspace datapath reads them as packet sockets and would pass
half-made checksums on (ping works, TCP fails).
"""

from __future__ import annotations

from lab.paths import namespace
from lab.shell import attempt, run, succeeds

UNDERLAY_MTU = 1600
OFFLOADS = ("tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off", "sg", "off")


def ensure_namespace(netns: str) -> None:
    """The namespace, with its loopback up."""
    if not succeeds(["ip", "netns", "exec", netns, "true"]):
        attempt(["ip", "netns", "del", netns])
        run(["ip", "netns", "add", netns])
    run(["ip", "-n", netns, "link", "set", "lo", "up"])


def ensure_wire(name: str) -> None:
    """The underlay: a Linux bridge in the wire's namespace, and the internet's namespace beside it."""
    wire = namespace(name, "wire")
    ensure_namespace(wire)
    if not succeeds(["ip", "-n", wire, "link", "show", "wire"]):
        run(["ip", "-n", wire, "link", "add", "wire", "mtu", str(UNDERLAY_MTU), "type", "bridge"])
    run(["ip", "-n", wire, "link", "set", "wire", "up"])
    internet = namespace(name, "inet")
    ensure_namespace(internet)
    ensure_cable(wire, "inet", internet, "eth0", bridge="wire")
    run(["ip", "-n", internet, "addr", "replace", "198.51.100.1/24", "dev", "eth0"])


def ensure_host_cable(name: str, host: str, netns: str) -> str:
    """A cable from the wire to a hypervisor; returns the name of its end there."""
    ensure_cable(namespace(name, "wire"), host, netns, "underlay0", bridge="wire")
    return "underlay0"


def ensure_access_cable(name: str, netns: str) -> None:
    """A cable from the access namespace (`eth0`) to the first hypervisor (`access0`), on no bridge yet."""
    access = namespace(name, "access")
    ensure_namespace(access)
    ensure_cable(access, "eth0", netns, "access0", bridge=None)


def ensure_cable(near: str, near_name: str, far: str, far_name: str, *, bridge: str | None) -> None:
    """A veth pair between two namespaces, its near end on `bridge` if one is named; made under names of its own first."""
    there = succeeds(["ip", "-n", near, "link", "show", near_name]) and succeeds(
        ["ip", "-n", far, "link", "show", far_name]
    )
    if not there:
        attempt(["ip", "-n", near, "link", "del", near_name])
        attempt(["ip", "-n", far, "link", "del", far_name])
        mtu = str(UNDERLAY_MTU)
        peer = ["peer", "name", far_name, "netns", far, "mtu", mtu]
        run(["ip", "link", "add", near_name, "netns", near, "mtu", mtu, "type", "veth", *peer])
    for netns, end in ((near, near_name), (far, far_name)):
        run(["ip", "netns", "exec", netns, "ethtool", "-K", end, *OFFLOADS])
        run(["ip", "-n", netns, "link", "set", end, "up"])
    if bridge:
        run(["ip", "-n", near, "link", "set", near_name, "master", bridge])


def namespaces_of(name: str) -> list[str]:
    """All network namespaces of a lab that exist now."""
    prefix = namespace(name, "")
    return [line.split()[0] for line in run(["ip", "netns", "list"]).splitlines() if line.startswith(prefix)]
