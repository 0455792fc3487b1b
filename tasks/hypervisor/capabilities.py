"""What a host's libvirt offers guests, read from its domain capabilities (formatdomaincaps): CPU models, machines, buses."""

from __future__ import annotations

from lxml import etree

NAMED_MACHINES = ("q35", "pc")


def parse_capabilities(xml: str, machines: tuple[str, ...] = NAMED_MACHINES) -> dict[str, list[str]]:
    """`cpu_models` (those that can run, and the two modes), `disk_buses`, and the machines that were asked about."""
    root = etree.fromstring(xml)
    models = [
        str(model.text)
        for model in root.iterfind("cpu/mode[@name='custom']/model")
        if model.get("usable") != "no" and model.text
    ]
    modes = [
        mode
        for mode in ("host-passthrough", "host-model")
        if root.find(f"cpu/mode[@name='{mode}'][@supported='yes']") is not None
    ]
    buses = [str(value.text) for value in root.iterfind("devices/disk/enum[@name='bus']/value")]
    return {"cpu_models": modes + models, "disk_buses": buses, "machines": list(machines)}
