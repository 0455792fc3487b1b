"""Numbers and MACs that networks and routers get. Callers hold the intent's lock (see intent.bump_generation)."""

from __future__ import annotations

import secrets

from django.db.models import Min, QuerySet
from django.utils.translation import gettext

from portal.hosts.models import Host
from portal.networks.models import Mirror, Network, Router
from portal.networks.mtu import UNDERLAY_MTU
from portal.networks.problems import NetworkProblem
from sdn.model.mtu import Encapsulation, inner_mtu
from sdn.pipeline import MAX_VNI

FIRST_NETWORK_VNI = 4097  # below are numbers that operators may use for VLANs
FIRST_ROUTER_VNI, FIRST_MIRROR_VNI = 0x400000, 0x600000
ROUTER_ZONES = (32768, 65535)
SMALLEST_MTU = 576  # RFC 791: what every IPv4 host takes


def next_network_vni() -> int:
    """The lowest free VNI of networks."""
    return _lowest_free(
        Network.objects.values_list("vni", flat=True), (FIRST_NETWORK_VNI, FIRST_ROUTER_VNI - 1), "VNIs"
    )


def next_router_vni() -> int:
    """The lowest free VNI of routers."""
    return _lowest_free(Router.objects.values_list("vni", flat=True), (FIRST_ROUTER_VNI, FIRST_MIRROR_VNI - 1), "VNIs")


def next_mirror_vni() -> int:
    """The lowest free VNI of mirrors."""
    return _lowest_free(Mirror.objects.values_list("vni", flat=True), (FIRST_MIRROR_VNI, MAX_VNI), "mirrors")


def next_router_zone() -> int:
    """The lowest free conntrack zone of routers."""
    return _lowest_free(Router.objects.values_list("zone", flat=True), ROUTER_ZONES, "routers")


def router_mac(vni: int) -> str:
    """The MAC of a network's gateway; MACs are told apart within one network only."""
    return f"52:54:00:ff:{vni >> 8 & 255:02x}:{vni & 255:02x}"


def new_external_mac() -> str:
    """A MAC for a router on its external network, which other installations may share: locally administered, random."""
    while True:
        mac = "0a:48:53:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if not Router.objects.filter(external_mac=mac).exists():
            return mac


def largest_mtu(kind: Encapsulation = "vxlan") -> int:
    """The largest MTU of a network: the smallest underlay's, without the tunnel's headers where there is a tunnel."""
    least: int = Host.objects.aggregate(least=Min("underlay_mtu"))["least"] or UNDERLAY_MTU
    return inner_mtu(least, kind)


def _lowest_free(
    taken: QuerySet[Network, int] | QuerySet[Router, int] | QuerySet[Mirror, int], span: tuple[int, int], what: str
) -> int:
    used = set(taken)
    for number in range(span[0], span[1] + 1):
        if number not in used:
            return number
    raise NetworkProblem(
        {
            "": [
                gettext("all %(span)s %(what)s are in use: delete something that is not needed")
                % {"span": span[1] - span[0] + 1, "what": what}
            ]
        }
    )
