"""Segments behind `br-ex`, untagged or VLANs: how packets get onto one, and how they are known to come from one."""

from __future__ import annotations

from sdn.compiler.build import Match

UNTAGGED = "0x0000/0x1fff"
VLAN_PRESENT = 0x1000
TAGGED = f"{VLAN_PRESENT:#x}/{VLAN_PRESENT:#x}"


def vlan_tag(vid: int | None) -> tuple[str, ...]:
    """The actions that put a packet into the VLAN, none for the untagged segment."""
    if vid is None:
        return ()
    return ("push_vlan:0x8100", f"set_field:{VLAN_PRESENT | vid}->vlan_vid")


def from_segment(ofport: int, vid: int | None) -> tuple[Match, tuple[str, ...]]:
    """The match of what comes by the cable from the segment, and the actions that take its tag off."""
    match: Match = {"in_port": str(ofport), **({"vlan_tci": UNTAGGED} if vid is None else {"dl_vlan": str(vid)})}
    return match, () if vid is None else ("pop_vlan",)
