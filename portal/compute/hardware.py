"""What a VM's machine may be made of, as tables: the form, the API, the checks and the words of pages read them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from django.utils.translation import gettext


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a field. `note` says what it is for."""

    value: str
    title: str
    note: str = ""


PARAVIRTUAL, EMULATED = "paravirtual", "emulated"
CHOICES: dict[str, tuple[Choice, ...]] = {
    "cpu_model": (
        Choice("", "As the host offers it"),
        Choice("host-model", "Named model nearest to the host's"),
        Choice("host-passthrough", "The host's own, unchanged (KVM only)"),
        *(
            Choice(name, name)
            for name in ("qemu64", "Nehalem", "Westmere", "SandyBridge", "Haswell-noTSX", "Skylake-Client-noTSX-IBRS", "EPYC")
        ),
    ),
    "machine": (Choice("q35", "q35 (PCI Express)"), Choice("pc", "pc (i440FX, for old guests)")),
    "disk_bus": (
        Choice("virtio", "virtio-blk", PARAVIRTUAL),
        Choice("scsi", "virtio-scsi", PARAVIRTUAL),
        Choice("sata", "SATA (AHCI)", EMULATED),
    ),
    "disk_cache": (
        Choice("writeback", "writeback: the host caches, the guest may flush"),
        Choice("none", "none: past the host's cache"),
        Choice("writethrough", "writethrough: every write reaches the disk"),
    ),
    "nic_model": (
        Choice("virtio", "virtio", PARAVIRTUAL),
        Choice("e1000e", "e1000e (Intel 82574)", EMULATED),
        Choice("e1000", "e1000 (Intel 82540)", EMULATED),
        Choice("rtl8139", "rtl8139 (Realtek)", EMULATED),
        Choice("vmxnet3", "vmxnet3 (VMware)", EMULATED),
    ),
}  # fmt: skip
CONVENTIONAL = frozenset(
    {"e1000", "rtl8139", "vmxnet3"}
)  # PCI without Express: libvirt gives a q35 their bridge at its start alone
# Left to the switch: the checksums of what a guest sends. A switch in user space makes none; only QEMU's e1000e can be told to.
NO_CHECKSUMS = frozenset({"vmxnet3"})
DISK_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd"}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine as asked for; the defaults are what suits nearly everybody."""

    cpu_model: str = ""
    machine: str = "q35"
    disk_bus: str = "virtio"
    disk_cache: str = "writeback"
    nic_model: str = "virtio"


USUAL = Hardware()


HARDWARE_FIELDS = tuple(field.name for field in fields(Hardware))


def hardware_problems(asked: Hardware) -> dict[str, list[str]]:
    """Field → what is wrong with it; empty when such a machine can be."""
    errors: dict[str, list[str]] = {}
    for name in HARDWARE_FIELDS:
        given, allowed = getattr(asked, name), [choice.value for choice in CHOICES[name]]
        if given not in allowed:
            shown = ", ".join(value or "none" for value in allowed)
            errors[name] = [
                gettext("“%(given)s” was given; allowed are %(shown)s") % {"given": given[:40], "shown": shown}
            ]
    if asked.machine == "pc" and asked.nic_model == "e1000e" and not errors:
        errors["nic_model"] = [
            gettext("e1000e is a PCI Express device, and machine pc has none: choose virtio, or machine q35")
        ]
    return errors


def hot_nic_refusal(machine: str, model: str) -> str:
    """Why such a NIC cannot be plugged into a running machine of that type, or ""."""
    if machine != "q35" or model not in CONVENTIONAL:
        return ""
    return gettext(
        "%(model)s is a PCI device without Express, for which q35 has a slot only from a start on: shut the VM down first, or "
        "choose virtio or e1000e"
    ) % {"model": model}


def switch_refusal(model: str, host: str, datapath_type: str) -> str:
    """Why nobody would reach a guest with such a NIC on that host, or ""."""
    if datapath_type != "netdev" or model not in NO_CHECKSUMS:
        return ""
    return gettext(
        "%(model)s leaves checksums to the switch, and that of %(host)s, which runs in user space, makes none: pings would pass "
        "and TCP would not; choose virtio or e1000e"
    ) % {"model": model, "host": host}


def disk_target(bus: str, number: int) -> str:
    """What libvirt calls the VM's disk of that number, from 0: "vda", "sdb"."""
    return f"{DISK_PREFIX.get(bus, 'vd')}{'abcdefgh'[number]}"
