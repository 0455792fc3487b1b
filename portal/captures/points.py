"""Where on a trace's path packets can be copied, and which: the matches that hold a capture to the team's own packets.

A VM's own port is the team's. A tunnel is shared by all teams, so its matches name the numbers of the trace's networks; the
cable to the outside is held to the team's router on the way out, and to the team's own external addresses on the way in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from portal.networks.models import Port
from portal.networks.router_models import FloatingAddress, Router, family_of
from portal.traces.models import TraceRequest
from sdn.capture.values import Fields
from sdn.pipeline import Register

PROTOCOLS = ("any", "arp", "icmp", "tcp", "udp")
WITH_PORTS = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to copy: a protocol, for TCP and UDP the service's port (0: any), between the trace's two ends alone or not."""

    protocol: str
    port: int = 0
    is_between: bool = True

    def words(self) -> str:
        """As the page says it."""
        name = self.protocol if self.protocol == "any" else self.protocol.upper()
        service = f"{name}/{self.port}" if self.port and self.protocol in WITH_PORTS else name
        return f"{service if service != 'any' else 'any protocol'}{' between the two ends' if self.is_between else ''}"


@dataclass(frozen=True, slots=True)
class Point:
    """A hop to copy at. `port` is an ofport, "tunnel" or "cable" (the controller knows which numbers these have)."""

    key: str
    name: str
    host: str
    port: int | str
    coming: tuple[Fields, ...] = ()
    going: tuple[Fields, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def points_of(trace: TraceRequest, wanted: Filter) -> list[Point]:
    """The points that the trace's path has now, each with its matches for this filter."""
    ends = _Ends.of(trace)
    return list(_points(trace, wanted, ends)) if ends else []


def opening_of(trace: TraceRequest) -> Fields | None:
    """The match of the trace's own packet, as it opens a connection; None where an end is gone or has no address."""
    ends = _Ends.of(trace)
    return _matches(Filter(trace.protocol, trace.port_dst), ends) if ends else None


@dataclass(frozen=True, slots=True)
class _Ends:
    """The two addresses of the path, of one family."""

    version: int
    source: str
    target: str

    @classmethod
    def of(cls, trace: TraceRequest) -> _Ends | None:
        if trace.source is None:
            return None
        own = _by_version(trace.source)
        there = _by_version(trace.target) if trace.target else {6 if ":" in trace.address else 4: trace.address}
        version = next((one for one in sorted(own) if there.get(one)), None)
        return cls(version, own[version], there[version]) if version else None


def _by_version(port: Port) -> dict[int, str]:
    return {6 if ":" in row.address else 4: row.address for row in port.addresses.all()}


def _points(trace: TraceRequest, wanted: Filter, ends: _Ends) -> Iterator[Point]:
    there, back = _matches(wanted, ends), _matches(wanted, ends, is_back=True)
    both = tuple(dict.fromkeys((there, back)))
    source, target = trace.source, trace.target
    assert source is not None
    for key, port, ways in (("source", source, (there, back)), ("target", target, (back, there))):
        if port is not None and port.ofport is not None and port.host is not None:
            coming, going = ((ways[0],), (ways[1],)) if wanted.is_between else (both, both)
            name = f"{port.name} {port.tap or 'port'} on {port.host.name}"
            yield Point(key, name, port.host.name, port.ofport, coming, going)
    router = Router.objects.filter(ports__subnet__network=source.network).select_related("gateway_host", "external_address", "external").first()  # fmt: skip
    hosts = _hosts(source, target, router)
    if len(hosts) > 1:
        numbers = _numbers(source, target, router)
        outward = tuple((*one, (f"reg{int(Register.VNI)}", f"{vni:#x}")) for one in both for vni in numbers)
        inward = tuple((*one, ("tun_id", f"{vni:#x}")) for one in both for vni in numbers)
        for host in hosts:
            yield Point(f"tunnel-{host}", f"tunnel of {host}", host, "tunnel", inward, outward)
    if target is None and router is not None and router.gateway_host is not None:
        host = router.gateway_host.name
        yield Point("outside", f"cable to the outside of {host}", host, "cable", *_outside(router, wanted, ends))


def _hosts(source: Port, target: Port | None, router: Router | None) -> list[str]:
    far = target.host if target is not None else router.gateway_host if router is not None else None
    return list(dict.fromkeys(host.name for host in (source.host, far) if host is not None))


def _numbers(source: Port, target: Port | None, router: Router | None) -> list[int]:
    networks = [port.network.vni for port in (source, target) if port is not None]
    return list(dict.fromkeys([*(vni for vni in networks if vni), *([router.vni] if router else [])]))


def _outside(router: Router, wanted: Filter, ends: _Ends) -> tuple[tuple[Fields, ...], tuple[Fields, ...]]:
    """Behind NAT the guest's address is another one; the far end's stays."""
    word, source, target = ("ipv6", "ipv6_src", "ipv6_dst") if ends.version == 6 else ("ip", "nw_src", "nw_dst")
    there = tuple(field for field in _matches(wanted, ends) if field[0] != source)
    back = tuple(field for field in _matches(wanted, ends, is_back=True) if field[0] != target)
    own = [router.external_address.address] if router.external_address else []
    own += [str(router.external_address6)] if router.external_address6 else []
    own += FloatingAddress.objects.filter(team=router.team_id).values_list("address__address", flat=True)
    named = back if back else ((word, ""),)
    if named[0][0] == "arp":
        return (), ()
    return tuple((*named, (target, address)) for address in own if family_of(address) == ends.version), (
        (*there, (f"reg{int(Register.ROUTER)}", f"{router.vni:#x}")),
    )


def _matches(wanted: Filter, ends: _Ends, *, is_back: bool = False) -> Fields:
    """The match of one direction, in a flow's words: protocol, then addresses, then the service's port on its side."""
    six = "6" if ends.version == 6 else ""
    word = {"any": "ipv6" if six else "ip", "arp": "arp"}.get(wanted.protocol, f"{wanted.protocol}{six}")
    names = ("arp_spa", "arp_tpa") if word == "arp" else ("ipv6_src", "ipv6_dst") if six else ("nw_src", "nw_dst")
    source, target = (ends.target, ends.source) if is_back else (ends.source, ends.target)
    found: list[tuple[str, str]] = [(word, "")] if wanted.protocol != "any" or wanted.is_between else []
    if wanted.is_between:
        found += [(names[0], source), (names[1], target)]
    if wanted.protocol in WITH_PORTS and wanted.port:
        found.append(("tp_src" if is_back else "tp_dst", str(wanted.port)))
    return tuple(found)
