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
}
TITLES: dict[str, str] = {"vm.create": "Create VM", "vm.delete": "Delete VM"}
