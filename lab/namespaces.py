"""Network namespaces and the cables between them. Everything is made inside the lab's own namespaces, so no name of
ours ever shows up in the machine's own: nothing to collide with, and a namespace's end takes its interfaces along.

    hv1 ─ under0 ──┐                 ┌── under0 ─ hv2
                   [ underlay bridge ]            in hs-LAB-wire, 192.0.2.0/24, MTU 1600
                           └── eth0 of hs-LAB-inet, 198.51.100.1/24 and 2001:db8:51::1/64; its web server is 203.0.113.80,
                               and over IPv6 2001:db8:80::80 answers ping

The external network shares the wire with the tunnels, each by a prefix of its own, as both are behind br-ex: a second
NIC in br-ex would join two bridges twice, which is a loop. Nothing routes between the two prefixes.

    hv1 ─ access0 ──────────── eth0 of hs-LAB-access
"""

from __future__ import annotations

from pathlib import Path

from lab.commands import run
from lab.errors import CommandFailed, LabError
from lab.paths import UNDERLAY_MTU, lab_netns

RUN_NETNS = Path("/run/netns")
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
INET_GATEWAY, INET_GATEWAY_6 = "198.51.100.1/24", "2001:db8:51::1/64"
INET_HOST_6 = "2001:db8:80::80"
WEB_SERVER = "203.0.113.80"


def namespaces_of(name: str) -> tuple[str, ...]:
    """The lab's network namespaces that exist."""
    prefix = lab_netns(name, "")
    if not RUN_NETNS.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in RUN_NETNS.iterdir() if entry.name.startswith(prefix)))


def ensure_namespace(netns: str) -> None:
    """The namespace, with its loopback up. A name whose namespace is gone (a mount lost) is made anew."""
    try:
        run("ip", "-n", netns, "link", "set", "lo", "up")
        return
    except CommandFailed:
        (RUN_NETNS / netns).unlink(missing_ok=True)
    try:
        run("ip", "netns", "add", netns)
        run("ip", "-n", netns, "link", "set", "lo", "up")
    except CommandFailed as problem:
        raise LabError(f"no network namespace {netns}: {problem.said.strip()} (root is needed)") from problem


def delete_namespace(netns: str) -> None:
    """Remove the name; the namespace ends with its last process."""
    try:
        run("ip", "netns", "del", netns)
    except CommandFailed:
        (RUN_NETNS / netns).unlink(missing_ok=True)


def has_link(netns: str, interface: str) -> bool:
    """Whether the namespace has that interface."""
    try:
        run("ip", "-n", netns, "link", "show", "dev", interface)
    except CommandFailed:
        return False
    return True


def ensure_bridge(netns: str, bridge: str, mtu: int) -> None:
    """A Linux bridge, up, that learns at once and runs no spanning tree."""
    if not has_link(netns, bridge):
        run("ip", "-n", netns, "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "-n", netns, "link", "set", bridge, "mtu", str(mtu), "up")


def ensure_cable(near: tuple[str, str], far: tuple[str, str], mtu: int, bridge: str | None = None) -> None:
    """A veth pair from `near` to `far`, each (namespace, interface); both up and free of offloads, which a userspace
    bridge would pass on as half-made checksums. `far` goes on `bridge`, if one is named."""
    if not (has_link(*near) and has_link(*far)):
        for netns, interface in (near, far):
            if has_link(netns, interface):
                run("ip", "-n", netns, "link", "del", interface)
        run(*("ip", "-n", near[0], "link", "add", near[1], "type", "veth", "peer", "name", far[1], "netns", far[0]))
        for netns, interface in (near, far):
            settings = (word for offload in OFFLOADS for word in (offload, "off"))
            run("ip", "netns", "exec", netns, "ethtool", "-K", interface, *settings)
    run("ip", "-n", near[0], "link", "set", near[1], "mtu", str(mtu), "up")
    onto = ("master", bridge) if bridge else ()
    run("ip", "-n", far[0], "link", "set", far[1], "mtu", str(mtu), *onto, "up")


def ensure_address(netns: str, interface: str, address: str) -> None:
    """The interface, up, with that address (ADDRESS/LENGTH)."""
    at_once = ("nodad",) if ":" in address else ()
    run("ip", "-n", netns, "address", "replace", address, "dev", interface, *at_once)
    run("ip", "-n", netns, "link", "set", interface, "up")


def ensure_wire(name: str) -> None:
    """The underlay's bridge, the internet on it, and the access namespace."""
    wire, inet = lab_netns(name, "wire"), lab_netns(name, "inet")
    for netns in (wire, inet, lab_netns(name, "access")):
        ensure_namespace(netns)
    ensure_bridge(wire, "underlay", UNDERLAY_MTU)
    ensure_cable((inet, "eth0"), (wire, "inet"), 1500, "underlay")
    ensure_address(inet, "eth0", INET_GATEWAY)
    ensure_address(inet, "eth0", INET_GATEWAY_6)
    ensure_address(inet, "lo", f"{INET_HOST_6}/128")
    ensure_address(inet, "lo", f"{WEB_SERVER}/32")


def ensure_host_cables(name: str, host: str) -> None:
    """A hypervisor's NIC `under0`; the first hypervisor has `access0` too."""
    wire, netns = lab_netns(name, "wire"), lab_netns(name, host)
    ensure_cable((netns, "under0"), (wire, f"{host}u"), UNDERLAY_MTU, "underlay")
    if host == "hv1":
        access = lab_netns(name, "access")
        if not (has_link(netns, "access0") and has_link(access, "eth0")):
            ensure_cable((netns, "access0"), (access, "eth0"), 1500)
