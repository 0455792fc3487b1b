"""Whether guests run on KVM is found out by booting one, on a real libvirtd; the answer comes in seconds and leaves nothing.

Where the machine has no KVM that works, emulation stands in for it: to the probe it is a slower KVM.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lab.handmade import virsh
from lab.images import TinyImage
from lab.paths import HypervisorPaths
from tasks.hypervisor import accelerator
from tasks.hypervisor.accelerator import format_probe, probe_accelerator
from tasks.hypervisor.fake import FakeHypervisor
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

pytestmark = pytest.mark.lab


@pytest.fixture
def hypervisor(lab: tuple[HypervisorPaths, ...]) -> LibvirtHypervisor:
    return LibvirtHypervisor("hv1", lab[0].libvirt_uri)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_is_offered", lambda _hypervisor: True)
    monkeypatch.setattr(accelerator, "format_probe", lambda *facts: format_probe(*facts, kind="qemu"))


def nothing_is_left(host: HypervisorPaths) -> bool:
    return "hopsight-probe" not in virsh(host, "list", "--all", "--name") and not list(host.disks.glob("*probe*"))


def test_this_machine_gets_an_answer_with_its_reason_once(
    hypervisor: LibvirtHypervisor, lab: tuple[HypervisorPaths, ...], tiny: TinyImage, tmp_path: Path
) -> None:
    began = time.monotonic()
    found = probe_accelerator(hypervisor, str(lab[0].disks), str(tiny.kernel), tmp_path)
    assert time.monotonic() - began < accelerator.BOOT_DEADLINE_S + 15
    assert found.accelerator in ("kvm", "tcg") and found.reason
    assert nothing_is_left(lab[0])
    is_offered = "KVM" in found.reason and "no KVM" not in found.reason
    assert len(list(tmp_path.glob("accelerator-*.json"))) == (1 if is_offered else 0)
    assert probe_accelerator(hypervisor, "/nowhere", str(tiny.kernel), tmp_path) == found, "kept, not tried again"


def test_a_guest_that_boots_its_kernel_proves_it(
    hypervisor: LibvirtHypervisor, lab: tuple[HypervisorPaths, ...], tiny: TinyImage, tmp_path: Path,
    emulated: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(accelerator, "BOOT_DEADLINE_S", 60.0)
    found = probe_accelerator(hypervisor, str(lab[0].disks), str(tiny.kernel), tmp_path)
    assert found.accelerator == "kvm" and "booted its kernel" in found.reason
    assert nothing_is_left(lab[0])


def test_a_guest_that_hangs_means_emulation(
    hypervisor: LibvirtHypervisor, lab: tuple[HypervisorPaths, ...], tiny: TinyImage, tmp_path: Path,
    emulated: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(accelerator, "BOOT_DEADLINE_S", 1.0)  # emulation takes longer
    found = probe_accelerator(hypervisor, str(lab[0].disks), str(tiny.kernel), tmp_path)
    assert found.accelerator == "tcg" and found.reason.endswith("within 1 s")
    assert nothing_is_left(lab[0])


def test_a_driver_without_accelerators_says_so(tmp_path: Path) -> None:
    assert probe_accelerator(FakeHypervisor(), "", "", tmp_path).reason == "this driver has no accelerator"
