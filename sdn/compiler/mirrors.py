"""Mirrors: copies of a port's packets for another port, on whatever host that is (ADR 9).

A copy is made where a packet comes in (`classify`) or is about to be handed over (`output`), by a flow above the ordinary
ones that sends a clone to the table `mirror`, sets a register bit, and sends the packet itself to the same table again,
where, with the bit set, it meets the ordinary flows; what the clone meets is undone behind it, so the packet goes on as it
was. The bit is cleared behind that, so that a flood's next copy is judged anew.

The table `mirror` knows the mirror by its number in the VNI's register, and hands the copy to the receiver's port, or to the
tunnel under that same number, which only the receiver's host knows. Nothing else reads that number: so a copy is in no
network, meets no rule, is never copied again, and has nowhere to go but that port. Probes are not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sdn.compiler.build import drop, flow, format_value, goto, load, meter, reg
from sdn.compiler.index import IntentIndex
from sdn.compiler.overlay import LocalPort
from sdn.compiler.pieces import Piece, Scope
from sdn.compiler.responders import PORT_IN_PORT
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import HostIntent, HostView, MirrorIntent
from sdn.model.mtu import INNER_ETHERNET
from sdn.pipeline import FLAG_MIRRORED_IN, FLAG_MIRRORED_OUT, FLAG_PROBE, TABLE_BY_NAME, Register

PRIORITY = 50_000  # above all that the pipeline itself has, below a capture's, which sees the packet first
FLAGS = f"NXM_NX_REG{int(Register.FLAGS)}"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A mirror as one host sees it: its ends as far as they are plugged here; `away` is the receiver's host where that is
    another, `is_due` says that the receiver belongs here."""

    mirror: MirrorIntent
    source: LocalPort | None
    target: LocalPort | None
    away: HostIntent | None
    is_due: bool
    tunnel_ofport: int | None
    is_cut: bool  # the source's network carries frames that a tunnel does not

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.MIRROR, self.mirror.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of its copies."""
        return {reg(Register.VNI): f"{self.mirror.vni:#x}"}


def mirror_scopes(index: IntentIndex, view: HostView, local: Mapping[int, LocalPort], are_all: bool) -> Iterator[Scope]:
    """A scope for each mirror that has an end here; unless they `are_all` the scopes that there will be, an empty one for
    each other mirror too, for it may have had one."""
    for mirror in index.mirrors.values():
        seen = _seen(index, view, local, mirror)
        has_end = seen.source is not None or seen.target is not None or seen.is_due
        if has_end or not are_all:
            yield Scope(("mirror", mirror.id), (seen,), _pieces(seen) if has_end else tuple)


def _pieces(seen: Mirrored) -> Callable[[], Iterable[Piece]]:
    return lambda: (Piece("all", (seen,), lambda _: mirror_flows(seen)),)


def _seen(index: IntentIndex, view: HostView, local: Mapping[int, LocalPort], mirror: MirrorIntent) -> Mirrored:
    ends = index.ports.get(mirror.source_id), index.ports.get(mirror.target_id)
    source, target = (_plugged(local.get(end)) for end in (mirror.source_id, mirror.target_id))
    network = index.networks.get(ends[0].network_id) if ends[0] else None
    host = ends[1].host if ends[1] else None
    away = index.hosts.get(host) if host is not None and host != view.host and target is None else None
    is_cut = network is not None and network.mtu + INNER_ETHERNET > mirror.frame_bytes
    if source is None:  # what only the receiver's host asks for
        away, is_cut = None, False
    return Mirrored(mirror, source, target, away, host == view.host, view.tunnel_ofport, is_cut)


def _plugged(port: LocalPort | None) -> LocalPort | None:
    return None if port is None or port.stands_in else port


def mirror_flows(seen: Mirrored) -> Iterator[Flow]:
    """The mirror's flows on this host: none where there is nowhere to send a copy to."""
    has_way = seen.target is not None or (seen.away is not None and seen.tunnel_ofport is not None)
    if seen.source is not None and has_way:
        yield from _copies(seen, seen.source)
    if seen.target is not None or seen.is_due:
        yield from _arrivals(seen)
    if has_way:
        yield flow("mirror", 100, seen.cause, seen.mark, _handed_over(seen))


def _copies(seen: Mirrored, source: LocalPort) -> Iterator[Flow]:
    ofport, out = str(source.ofport), reg(Register.OUT)
    if seen.mirror.sends:
        yield _copy(seen, "classify", FLAG_MIRRORED_IN, {"in_port": ofport})
    if seen.mirror.receives:
        yield _copy(seen, "output", FLAG_MIRRORED_OUT, {out: f"{source.ofport:#x}"})
        back = {out: format_value(PORT_IN_PORT), "in_port": ofport}  # what the switch itself answers
        yield _copy(seen, "output", FLAG_MIRRORED_OUT, back)
        # Its own copy of a flood, which the output leaves out: not received, and not copied.
        own = {out: f"{source.ofport:#x}", "in_port": ofport}
        yield flow("output", PRIORITY + 1, seen.cause, own, (f"output:NXM_NX_REG{int(Register.OUT)}[]",))


def _copy(seen: Mirrored, table: str, flag: int, match: dict[str, str]) -> Flow:
    copy = f"clone({load(seen.mirror.vni, Register.VNI)},resubmit(,{TABLE_BY_NAME['mirror'].table_id}))"
    bit = flag.bit_length() - 1
    again = f"load:0x1->{FLAGS}[{bit}]", f"resubmit(,{TABLE_BY_NAME[table].table_id})", f"load:0->{FLAGS}[{bit}]"
    first = {**match, reg(Register.FLAGS): f"0/{flag | FLAG_PROBE:#x}"}
    return flow(table, PRIORITY, seen.cause, first, (copy, *again))


def _arrivals(seen: Mirrored) -> Iterator[Flow]:
    """Copies that come from another host: to the receiver, or known for what they are while it is not plugged."""
    if seen.tunnel_ofport is None:
        return
    came = {"in_port": str(seen.tunnel_ofport), "tun_id": f"{seen.mirror.vni:#x}"}
    if seen.target is None:
        yield flow("classify", 100, seen.cause, came, drop("classify", "port_down"))
    else:
        yield flow("classify", 100, seen.cause, came, (load(seen.mirror.vni, Register.VNI), goto("classify", "mirror")))


def _handed_over(seen: Mirrored) -> tuple[str, ...]:
    """Without an in-port, for a switch sends nothing back to where it came from, and a copy may have to go there."""
    nowhere = "set_field:0->in_port"
    if seen.target is not None:
        return (*meter(seen.target.meters[1]), nowhere, f"output:{seen.target.ofport}")
    assert seen.away is not None
    most, ofport = seen.mirror.frame_bytes, seen.tunnel_ofport
    out = f"output(port={ofport},max_len={most})" if seen.is_cut else f"output:{ofport}"
    return nowhere, f"set_field:{seen.mirror.vni:#x}->tun_id", f"set_field:{seen.away.underlay_ip}->tun_dst", out
