"""Domain XML, seeds, and the driver against libvirt's test driver."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib
import pytest
import yaml
from lxml import etree

from tasks.hypervisor.domain_xml import DomainSpec, KernelBoot, NicSpec, format_domain
from tasks.hypervisor.driver import CallFailed, DomainState, VolumeAsked
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.seed import SeedSpec, make_seed

GOLDEN = Path(__file__).parent / "golden"
UUID = "11111111-1111-4111-8111-111111111111"
HOSTILE = "</title><devices>\x00\x1b&\"' ]]> 😀"


def spec(**changes):
    values = {
        "name": f"hs-{UUID}", "uuid": UUID, "title": "web-1", "team": "payments", "vcpus": 1, "ram_mib": 128,
        "accelerator": "tcg", "disk": "/disks/a.qcow2", "seed": "/disks/a.iso", "console_log": "/disks/a.log",
        "nics": (NicSpec(UUID, "52:54:00:11:22:33", 1450, has_offloads=False),),
        "boot": KernelBoot("/images/kernel", "/images/initrd", "console=ttyS0"),
    }  # fmt: skip
    return DomainSpec(**{**values, **changes})


def test_the_domain_of_a_kernel_booted_guest_on_a_userspace_bridge_is_the_golden_one():
    assert format_domain(spec()) == (GOLDEN / "tcg-netdev-kernel.xml").read_text()


def test_a_hostile_name_stays_inside_its_element():
    root = etree.fromstring(format_domain(spec(title=HOSTILE, team=HOSTILE)))
    assert "</title><devices>" in root.findtext("title") and len(root.findall("devices")) == 1


def test_offloads_are_left_alone_on_a_kernel_bridge():
    nics = (NicSpec(UUID, "52:54:00:11:22:33", 1450),)
    root = etree.fromstring(format_domain(spec(nics=nics)))
    assert root.find("devices/interface/driver") is None and "qemu" not in root.nsmap


def test_a_seed_reads_back_as_it_was_written():
    image = make_seed(SeedSpec("id-1", "web-1", "root", "ssh-ed25519 AAAA a: 'b\" #c\n"))
    assert image[32808:32814] == b"cidata"
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    read = {}
    for name in ("meta-data", "user-data"):
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
        read[name] = yaml.safe_load(out.getvalue())
    assert read["meta-data"]["public-keys"] == ["ssh-ed25519 AAAA a: 'b\" #c"]
    assert read["user-data"]["ssh_authorized_keys"] == read["meta-data"]["public-keys"]


def test_the_driver_takes_a_domain_through_its_life():
    driver = LibvirtHypervisor("preview", "test:///default")
    xml, name = format_domain(spec(domain_type="test", disk="", seed="", boot=None)), f"hs-{UUID}"
    assert driver.state(name) is DomainState.ABSENT
    for _ in range(2):
        driver.define(xml)
        driver.start(name)
    assert driver.state(name) is DomainState.RUNNING
    assert [nic.interface_id for nic in driver.live_interfaces(name)] == [UUID]
    for _ in range(2):
        driver.destroy(name)
    assert driver.states()[name] is DomainState.STOPPED
    for _ in range(2):
        driver.undefine(name)
    assert driver.state(name) is DomainState.ABSENT


def test_a_screen_is_shown_on_a_unix_socket_and_on_no_network():
    devices = etree.fromstring(format_domain(spec(has_screen=True, boot=None))).find("devices")
    (graphics,) = devices.findall("graphics")
    assert [one.get("type") for one in graphics.findall("listen")] == ["socket"]
    assert not {"port", "autoport", "listen", "passwd", "websocket"} & set(graphics.keys())
    assert devices.find("video/model").get("type") == "vga"


@pytest.mark.parametrize("machine", ["q35", "pc"])
@pytest.mark.parametrize(("bus", "target"), [("virtio", "vdb"), ("scsi", "sdb"), ("sata", "sdb")])
def test_a_domain_has_the_machine_the_bus_and_the_cache_that_were_asked_for(machine, bus, target):
    asked = spec(machine=machine, disk_bus=bus, disk_cache="none", cpu_model="Nehalem")
    root = etree.fromstring(format_domain(asked))
    disks = root.findall("devices/disk")
    assert [disk.find("target").get("bus") for disk in disks] == [bus, bus] and disks[1].find("target").get(
        "dev"
    ) == target
    assert disks[0].find("driver").get("cache") == "none" and disks[1].find("driver").get("cache") is None
    assert root.find("os/type").get("machine") == machine and root.findtext("cpu/model") == "Nehalem"
    assert (root.find("devices/controller[@type='scsi']") is not None) is (bus == "scsi")
    assert bool(root.findall("devices/controller[@model='pcie-root-port']")) is (machine == "q35")


def test_a_volumes_size_is_what_libvirt_tells_of_it():
    hypervisor = LibvirtHypervisor("preview", "test:///default")
    hypervisor.make_volume(VolumeAsked("default-pool", "data", "raw", 3 * 1024**3))
    assert hypervisor.volume_bytes("default-pool", "data") == 3 * 1024**3
    hypervisor.remove_volume("default-pool", "data")
    with pytest.raises(CallFailed, match="data"):
        hypervisor.volume_bytes("default-pool", "data")
