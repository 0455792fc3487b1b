"""The guest agent's channel of a real QEMU, answered by a small peer in the guest that speaks the agent's protocol.

[libvirtd@hv1]--unix socket--[QEMU virtio-serial]--[/dev/vport1p1: guest-sync, guest-network-get-interfaces]
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from lab import handmade
from lab.commands import run
from lab.handmade import HandmadeGuest, plain_bridge, remove_guest, virsh
from lab.images import TinyImage
from lab.images.cpio import Archive
from lab.images.seed import write_seed
from lab.images.tiny import GUEST, MODULES, load_order, newest_kernel
from lab.paths import HypervisorPaths
from tasks.agents import Patience
from tasks.hypervisor.domain_xml import AGENT_CHANNEL
from tasks.hypervisor.libvirt_agent import ANSWER_WITHIN_S
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
NAME, MAC, ADDRESS = "agent-1", "52:54:00:00:00:77", "10.20.0.77"
ANSWERS = 3  # questions that it answers; then it holds its peace, as a guest may
AGENT = f"""#!/bin/sh
# The QEMU guest agent's protocol, as far as libvirt asks for addresses: a line of JSON in, a line of JSON out.
answered=0
exec 3<>"$(ls /dev/vport*p1)"
while sleep 0.2; do # it stays open: libvirt comes a moment after, and until then a read finds the end
  while read -r line <&3; do
    case "$line" in
      *guest-sync*)
        echo "{{\\"return\\": $(echo "$line" | sed 's/.*"id": *\\([0-9]*\\).*/\\1/')}}" >&3 ;;
      *guest-network-get-interfaces*)
        [ $answered -ge {ANSWERS} ] && continue
        address=$(ip -4 -o addr show dev eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/')
        [ -n "$address" ] && answered=$((answered + 1))
        echo "{{\\"return\\": [{{\\"name\\": \\"eth0\\", \\"hardware-address\\": \\"$(cat /sys/class/net/eth0/address)\\",\
 \\"ip-addresses\\": [{{\\"ip-address-type\\": \\"ipv4\\", \\"ip-address\\": \\"$address\\", \\"prefix\\": 24}}]}}]}}" >&3 ;;
    esac
  done
done
"""


def with_agent(tiny: TinyImage, folder: Path) -> TinyImage:
    """The tiny guest with the channel's driver and the peer laid over it: the kernel unpacks both archives."""
    release = newest_kernel().name.removeprefix("vmlinuz-")
    tree = Path("/lib/modules") / release
    order = [Path(name).name for name in load_order((tree / "modules.dep").read_text(), MODULES)]
    archive = Archive()
    archive.file("lib/modules/virtio_console.ko", (tree / "kernel/drivers/char/virtio_console.ko").read_bytes())
    archive.file("lib/modules/order", "".join(f"{name}\n" for name in [*order, "virtio_console.ko"]).encode())
    archive.file("bin/agent", AGENT.encode(), 0o755)
    archive.file("etc/inittab", (GUEST / "inittab").read_bytes() + b"::respawn:/bin/agent\n")
    initrd = folder / "initrd"
    initrd.write_bytes(tiny.initrd.read_bytes() + gzip.compress(archive.finish(), mtime=0))
    return replace(tiny, initrd=initrd)


@pytest.fixture
def domain(lab: tuple[HypervisorPaths, ...], tiny: TinyImage, ssh_key: Path) -> Iterator[str]:
    """A started domain whose guest has the peer; it takes some seconds to boot."""
    host = lab[0]
    plain_bridge(host)
    guest = HandmadeGuest(NAME, MAC, Path(f"{ssh_key}.pub").read_text(), f"{ADDRESS}/24")
    disk, seed, xml = (host.disks / f"{NAME}.{kind}" for kind in ("qcow2", "iso", "xml"))
    folder = host.disks / "agent"
    folder.mkdir(exist_ok=True)
    image = with_agent(tiny, folder)
    root = etree.fromstring(handmade.domain_xml(guest, image, disk, seed))
    devices = root.find("devices")
    assert devices is not None
    channel = etree.SubElement(devices, "channel", type="unix")
    etree.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    try:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.disk), str(disk))
        write_seed(seed, handmade.seed_files(guest))
        xml.write_text(etree.tostring(root, encoding="unicode"))
        virsh(host, "define", str(xml))
        virsh(host, "start", NAME)
        yield NAME
    finally:
        remove_guest(host, NAME)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        run("ovs-vsctl", f"--db={host.ovsdb}", "--if-exists", "del-br", "br-int")


def test_an_agent_tells_addresses_and_one_that_is_not_there_or_falls_silent_blocks_nobody(
    domain: str, lab: tuple[HypervisorPaths, ...]
) -> None:
    hypervisor, patience = LibvirtHypervisor("hv1", lab[0].libvirt_uri, 10.0), Patience()
    began = time.monotonic()
    assert hypervisor.agent_addresses(domain) is None, "its kernel has hardly begun"
    assert hypervisor.agent_addresses("hs-of-nobody") is None
    assert time.monotonic() - began < ANSWER_WITHIN_S, "without an agent nothing is waited for"
    told = wait_for(lambda: (hypervisor.agent_addresses(domain) or {}).get(MAC), 60, "the agent answers", 0.5)
    assert told == {ADDRESS}

    def falls_silent() -> bool:
        return patience.ask(domain, hypervisor.agent_addresses) is None

    wait_for(falls_silent, 60, "the agent falls silent")
    began = time.monotonic()
    assert patience.ask(domain, hypervisor.agent_addresses) is None
    assert time.monotonic() - began < ANSWER_WITHIN_S / 2, "one that let us wait rests"
    assert hypervisor.states()[domain] == "running", "the host's other questions are answered all the while"
