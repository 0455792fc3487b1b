"""Segments behind `br-ex`: each VLAN, and the untagged one, is one network's, whether external or a provider network."""

from __future__ import annotations

from django.utils.translation import gettext

from portal.networks.models import ExternalNetwork, Network, NetworkKind

MAX_VID = 4094  # IEEE 802.1Q: 0 is "no VLAN", 4095 is kept


def check_vid(vid: int | None) -> str:
    """What is wrong with taking the VLAN (None: the untagged segment) for a new network, or nothing."""
    if vid is not None and not 1 <= vid <= MAX_VID:
        return gettext("%(vid)s was given; 1 to %(max_vid)s are allowed, or nothing for an untagged network") % {
            "vid": vid,
            "max_vid": MAX_VID,
        }
    external = ExternalNetwork.objects.filter(vid=vid).first()
    provider = Network.objects.filter(kind=NetworkKind.VLAN if vid else NetworkKind.FLAT, vid=vid).first()
    owner = external or provider
    if owner is None:
        return ""
    if vid is None:
        return gettext("the untagged network is %(owner)s's already: choose a VLAN") % {"owner": owner.name}
    return gettext("VLAN %(vid)s is %(owner)s's already: choose another VLAN") % {"vid": vid, "owner": owner.name}
