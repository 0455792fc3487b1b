"""A probe's own flows: it is reported by each switch that it leaves, at each drop, and instead of its last output.

A probe carries register bit `FLAG_PROBE` inside a switch and the VNI's top bit on the wire, so that nothing in the
guest's packet changes and no guest can send one: registers are not in a packet, and VNIs of ours have 23 bits.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import SYSTEM, drop, flow, load, reg
from sdn.model.flow import Flow
from sdn.pipeline import FLAG_PROBE, PROBE_VNI_BIT, Register

REPORT = ("CONTROLLER:65535",)
MARKED = {reg(Register.FLAGS): f"{FLAG_PROBE:#x}/{FLAG_PROBE:#x}"}
SET_VNI_BIT = f"load:0x1->NXM_NX_TUN_ID[{PROBE_VNI_BIT.bit_length() - 1}]"


def probe_flows(tunnel_ofports: tuple[int, ...]) -> Iterator[Flow]:
    """The system's flows for probes on a host."""
    yield flow("output", 100, SYSTEM, MARKED, REPORT)
    yield flow("drop", 200, SYSTEM, MARKED, REPORT)
    for tunnel_ofport in tunnel_ofports:
        away = {**MARKED, reg(Register.OUT): f"{tunnel_ofport:#x}"}
        yield flow("output", 110, SYSTEM, away, (*REPORT, SET_VNI_BIT, f"output:{tunnel_ofport}"))
        stray = {"in_port": str(tunnel_ofport), "tun_id": f"{PROBE_VNI_BIT:#x}/{PROBE_VNI_BIT:#x}"}
        marked_again = load(FLAG_PROBE, Register.FLAGS)
        yield flow("classify", 2, SYSTEM, stray, (marked_again, *drop("classify", "unknown_vni")))
