"""The stages of every kind of operation, as the worker runs them and the pages list them."""

from __future__ import annotations

STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "vm.create": (
        ("place", "Choose a host"),
        ("disk", "Make the disk"),
        ("seed", "Write the seed image"),
        ("define", "Define the domain"),
        ("start", "Start it and plug its tap"),
        ("wire", "Install its flows"),
    ),
    "vm.delete": (
        ("stop", "Stop the domain"),
        ("undefine", "Remove the domain"),
        ("files", "Remove disk and seed"),
        ("release", "Release address, port and quota"),
    ),
    "vm.start": (("start", "Start it and plug its tap"), ("wire", "Install its flows")),
    "vm.stop": (("shutdown", "Ask the guest to shut down, and wait for it"),),
    "vm.force_off": (("power", "Cut its power"),),
    "vm.reboot": (("power", "Ask the guest to restart"),),
    "vm.reset": (("power", "Press reset"),),
    "vm.suspend": (("power", "Stop its vCPUs"),),
    "vm.resume": (("power", "Let its vCPUs run on"),),
    "vm.autostart": (("tell", "Tell libvirt whether it starts with its host"),),
}
TITLES: dict[str, str] = {
    "vm.create": "Create VM",
    "vm.delete": "Delete VM",
    "vm.start": "Start VM",
    "vm.stop": "Shut down VM",
    "vm.force_off": "Force off VM",
    "vm.reboot": "Reboot VM",
    "vm.reset": "Reset VM",
    "vm.suspend": "Suspend VM",
    "vm.resume": "Resume VM",
    "vm.autostart": "Set autostart of VM",
}
