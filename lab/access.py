"""The machine's own seat in a guest network: the access namespace, cabled to `br-int` of the first hypervisor like a
guest's NIC, so that people on this machine can `ssh` to a guest."""

from __future__ import annotations

from collections.abc import Sequence

from lab.commands import run
from lab.errors import CommandFailed, LabError
from lab.namespaces import ensure_address
from lab.paths import hypervisor_paths, lab_netns
from lab.processes import marks

PORT = "access0"
BRIDGE = "br-int"


def plug_access(
    name: str, iface_id: str, mac: str, addresses: str | Sequence[str], mtu: int, gateway: str = ""
) -> None:
    """Give the access namespace its address or addresses (ADDRESS/LENGTH) on the network of port `iface_id`, and the way
    to other networks by `gateway`, if there is one. `br-int` must be there; idempotent, and a change of any value is
    taken over."""
    _vsctl(name, "br-exists", BRIDGE, missing=f"lab {name} has no {BRIDGE} yet: the controller makes it")
    access = lab_netns(name, "access")
    run("ip", "-n", access, "link", "set", "eth0", "down")  # so that its link-local address is made of the new MAC
    run("ip", "-n", access, "link", "set", "eth0", "address", mac, "mtu", str(mtu), "up")
    run("ip", "-n", lab_netns(name, "hv1"), "link", "set", PORT, "mtu", str(mtu), "up")
    run("ip", "-n", access, "address", "flush", "dev", "eth0", "scope", "global")
    for address in (addresses,) if isinstance(addresses, str) else addresses:
        ensure_address(access, "eth0", address)
    if gateway:
        run("ip", "-n", access, "route", "replace", "default", "via", gateway, "dev", "eth0")
    ids = (
        f'external_ids:iface-id="{iface_id}"',
        f'external_ids:attached-mac="{mac}"',
        "external_ids:iface-status=active",
    )
    _vsctl(name, "--may-exist", "add-port", BRIDGE, PORT, "--", "set", "Interface", PORT, *ids)


def unplug_access(name: str) -> None:
    """Take the access namespace off the guest network; harmless when it is not on one."""
    _vsctl(name, "--if-exists", "del-port", PORT)
    run("ip", "-n", lab_netns(name, "access"), "address", "flush", "dev", "eth0")


def _vsctl(name: str, *argv: str, missing: str = "") -> None:
    try:
        paths = hypervisor_paths(name, 1)
        run("ovs-vsctl", f"--db={paths.ovsdb}", "--timeout=10", *argv, env=marks(name, paths.name))
    except CommandFailed as problem:
        raise LabError(missing or f"the first hypervisor of lab {name} refused: {problem.said.strip()}") from problem
