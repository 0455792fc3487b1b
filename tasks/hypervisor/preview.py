"""The preview's hypervisor: libvirt's test driver, with a port of the shadow switch for every NIC of a started domain."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from tasks.hypervisor.driver import CallFailed, LiveInterface
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

PATIENCE_S = 10.0


class PreviewHypervisor(LibvirtHypervisor):
    """`test:///default` keeps the life of domains; taps are ports of a dummy bridge, made by ovs-vsctl."""

    def __init__(self, name: str, uri: str, ovsdb: str) -> None:
        super().__init__(name, uri)
        self._ovsdb = ovsdb

    def start(self, domain: str) -> None:
        super().start(domain)
        for nic in self.live_interfaces(domain):
            self._ovs(
                "--may-exist", "add-port", "br-int", nic.tap,
                "--", "set", "Interface", nic.tap, "type=dummy",
                f'external_ids:iface-id="{nic.interface_id}"', f'external_ids:attached-mac="{nic.mac}"',
            )  # fmt: skip

    def destroy(self, domain: str) -> None:
        for nic in self.live_interfaces(domain):
            self._ovs("--if-exists", "del-port", "br-int", nic.tap)
        super().destroy(domain)

    def shutdown(self, domain: str) -> None:
        """The test driver's guests obey at once."""
        self.destroy(domain)

    def reboot(self, domain: str) -> None:
        """No guest runs, so there is none to restart; the test driver would power it off."""

    def reset(self, domain: str) -> None:
        """As `reboot`."""

    def live_interfaces(self, domain: str) -> tuple[LiveInterface, ...]:
        """The test driver names every first NIC alike, so taps are named by the interface id as Neutron does."""
        plugged = (nic for nic in super().live_interfaces(domain) if nic.interface_id)
        return tuple(replace(nic, tap=f"tap{nic.interface_id[:11]}") for nic in plugged)

    def plug_disk(self, domain: str, serial: str, xml: str) -> None:
        """The test driver plugs nothing; the definition has the disk."""

    def unplug_disk(self, domain: str, serial: str) -> None:
        """As `plug_disk`."""

    def live_disks(self, domain: str) -> frozenset[str]:
        """None: nothing is plugged."""
        return frozenset()

    def ensure_bridge(self, port: str) -> None:
        raise CallFailed(f"{self.name} is a preview: it has no Linux bridges")

    def remove_bridge(self, port: str) -> None:
        """There never is one."""

    def idle_bridges(self) -> tuple[str, ...]:
        return ()

    def _ovs(self, *arguments: str) -> None:
        argv = ["ovs-vsctl", f"--db={self._ovsdb}", "--timeout=5", "--no-wait", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise CallFailed(f"{self.name}'s preview switch: {done.stderr.strip()[:200]}")
