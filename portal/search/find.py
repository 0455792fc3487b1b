"""What a few letters may mean to a person: pages and actions, and objects of their teams; operators find hosts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from portal.accounts.access import current_team, may, memberships_of
from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.networks.models import FixedAddress, Network, SecurityGroup
from portal.search.places import PLACES
from portal.traces.models import TraceRequest

MOST_LETTERS, OF_A_KIND = 60, 6


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to. `post` ones are asked for by a form, for they change something (the current team)."""

    kind: str
    title: str
    detail: str
    url: str
    icon: str
    keys: str = ""
    post: bool = False


def find(request: HttpRequest, text: str) -> list[Found]:
    """What fits best first: places that begin so, then objects, then the rest; without a text, the places."""
    text = " ".join(text.replace("\0", " ").split())[:MOST_LETTERS]
    places = list(_places(request, text.lower()))
    if not text:
        return places
    objects = [found for source in SOURCES for found in source(request, text)]
    begins = [place for place in places if place.title.lower().startswith(text.lower())]
    return [*begins, *objects, *(place for place in places if place not in begins)]


def _places(request: HttpRequest, text: str) -> Iterator[Found]:
    team = current_team(request)
    for place in PLACES:
        title = gettext(place.title)
        said = f"{title} {place.title} {place.words}".lower()
        if may(request, place.right, team) and all(word in said for word in text.split()):
            kind = gettext("Action") if place.is_action else gettext("Page")
            yield Found(kind, title, "", reverse(place.url_name), place.icon, place.keys)


def _teams(request: HttpRequest, text: str) -> Iterator[Found]:
    here = current_team(request)
    for row in memberships_of(request):
        if row.team != here and text.lower() in row.team.name.lower():
            url = reverse("team_switch", args=[row.team.slug])
            yield Found(gettext("Team"), row.team.name, gettext("switch to it"), url, "users", post=True)


def _vms(request: HttpRequest, text: str) -> Iterator[Found]:
    rows = VM.objects.filter(team__in=_team_ids(request)).select_related("team").prefetch_related("ports__addresses")
    by_address = FixedAddress.objects.filter(address__startswith=text, port__vm__isnull=False).values("port__vm")
    for vm in rows.filter(Q(name__icontains=text) | Q(pk__in=by_address)).order_by("name")[:OF_A_KIND]:
        addresses = [one.address for port in vm.ports.all() for one in port.addresses.all()]
        detail = ", ".join([str(VMState(vm.state).label), vm.team.name, *addresses])
        yield Found(gettext("VM"), vm.name, detail, reverse("vm", args=[vm.uuid]), "vm")


def _networks(request: HttpRequest, text: str) -> Iterator[Found]:
    rows = Network.objects.filter(team__in=_team_ids(request)).select_related("team")
    named = Q(name__icontains=text) | Q(subnets__cidr__startswith=text)
    for row in rows.filter(named).distinct().order_by("name")[:OF_A_KIND]:
        yield Found(
            gettext("Network"), row.name, f"{row.team.name}, VNI {row.vni}", reverse("network", args=[row.uuid]), "net"
        )


def _groups(request: HttpRequest, text: str) -> Iterator[Found]:
    rows = SecurityGroup.objects.filter(team__in=_team_ids(request), name__icontains=text).select_related("team")
    for row in rows.order_by("name")[:OF_A_KIND]:
        yield Found(
            gettext("Security group"), row.name, row.team.name, reverse("security_group", args=[row.uuid]), "shield"
        )


def _traces(request: HttpRequest, text: str) -> Iterator[Found]:
    rows = TraceRequest.objects.filter(team__in=_team_ids(request), title__icontains=text).select_related("team")
    for row in rows.defer("result", "reply").order_by("-id")[:3]:
        yield Found(gettext("Trace"), row.title, row.team.name, reverse("trace", args=[row.uuid]), "path")


def _hosts(request: HttpRequest, text: str) -> Iterator[Found]:
    if may(request, "host.see"):
        for row in Host.objects.filter(name__icontains=text)[:OF_A_KIND]:
            yield Found(gettext("Host"), row.name, row.underlay_ip, reverse("host_load", args=[row.name]), "switch")


def _team_ids(request: HttpRequest) -> list[int]:
    return [row.team_id for row in memberships_of(request)]


SOURCES: tuple[Callable[[HttpRequest, str], Iterator[Found]], ...] = (
    _vms,
    _networks,
    _groups,
    _hosts,
    _teams,
    _traces,
)
