"""Segments behind `br-ex`: each VLAN, and the untagged one, is one network's, whether external or a provider network."""

from __future__ import annotations

from portal.networks.models import ExternalNetwork, Network, NetworkKind

MAX_VID = 4094  # IEEE 802.1Q: 0 is "no VLAN", 4095 is kept


def check_vid(vid: int | None) -> str:
    """What is wrong with taking the VLAN (None: the untagged segment) for a new network, or nothing."""
    if vid is not None and not 1 <= vid <= MAX_VID:
        return f"{vid} was given; 1 to {MAX_VID} are allowed, or nothing for an untagged network"
    external = ExternalNetwork.objects.filter(vid=vid).first()
    provider = Network.objects.filter(kind=NetworkKind.VLAN if vid else NetworkKind.FLAT, vid=vid).first()
    owner = external or provider
    if owner is None:
        return ""
    return f"{'VLAN ' + str(vid) if vid else 'the untagged network'} is {owner.name}'s already: choose another VLAN"
