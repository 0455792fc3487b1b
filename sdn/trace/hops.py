"""The devices of a path as hops: what each is, what it did, and the command that shows the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sdn.model.bypass import Bypass
from sdn.model.cookie import OWNER_MARK, Cause, CauseKind, parse_cookie
from sdn.model.trace import Hop, HopKind, Intent, NearFlow, Step
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID, TABLE_BY_NAME
from sdn.trace.fields import header_of, stack_of
from sdn.trace.near import Near
from sdn.trace.parser import Lookup
from sdn.trace.question import Endpoint, Outside, PortFacts, TraceHost, WireSegment
from sdn.trace.sizes import TUNNEL_OVERHEAD_BYTES
from sdn.trace.walked import Exit, Seen

Shown = tuple[dict[str, str], tuple[str, ...]]  # a packet's header and header stack
KIND_WORDS = {"vxlan": "VXLAN", "geneve": "Geneve", "gre": "GRE"}
COPYING = (CauseKind.MIRROR, CauseKind.CAPTURE)
_CUT = re.compile(r"max_len=(\d+)")
_OUTER = re.compile(r"eth\(dst=([0-9a-f:]+),src=([0-9a-f:]+)")


@dataclass(frozen=True, slots=True)
class Bridged:
    """What a Linux bridge does with the packet, as its hop shows it."""

    detail: str
    ports: str = ""
    steps: tuple[Step, ...] = ()
    evidence: str = ""
    is_read: bool = True


NOT_READ = Bridged("its MAC table and the host's netfilter were not read", is_read=False)


def leaving_hops(endpoint: Endpoint, fields: Mapping[str, str], bridged: Bridged = NOT_READ) -> list[Hop]:
    """From the guest's NIC to the switch: NIC, back end, tap. `bridged`: what its Linux bridge does, where it has one."""
    shown = (header_of(fields), stack_of(fields))
    return [_guest(endpoint, shown), *_plug(endpoint, shown, bridged)]


def arriving_hops(endpoint: Endpoint, fields: Mapping[str, str], bridged: Bridged = NOT_READ) -> list[Hop]:
    """From the switch to the guest's NIC: tap, back end, NIC."""
    return leaving_hops(endpoint, fields, bridged)[::-1]


def _guest(endpoint: Endpoint, shown: Shown) -> Hop:
    model = endpoint.chain.model or endpoint.nic_model
    mtu = f", MTU {endpoint.mtu}" if endpoint.mtu else ""
    command = (f"virsh domiflist {endpoint.domain}",) if endpoint.domain != "-" else ("ip -d link show",)
    detail = f"{f'{model}, ' if model else ''}{endpoint.mac or 'MAC not told'}{mtu}"
    return _plain_hop("guest_nic", endpoint, f"{endpoint.name} {endpoint.nic}", detail, command, shown)


def _plug(endpoint: Endpoint, shown: Shown, bridged: Bridged) -> list[Hop]:
    """Back end and tap. A port that is no guest's has a veth pair instead; one that is plugged nowhere has neither."""
    if endpoint.ofport is None:
        return [_device(endpoint, past, shown)] if (past := endpoint.chain.bypass) else []
    chain = endpoint.chain
    port = f"port {endpoint.ofport} of br-int"
    tap_commands = (f"ip -s link show {endpoint.tap}", f"ovs-vsctl list interface {endpoint.tap}")
    if endpoint.domain == "-":
        return [_plain_hop("veth", endpoint, endpoint.tap, port, tap_commands, shown)]
    queues = f", {chain.queues} queue{'s' * (chain.queues != 1)}" if chain.queues else ""
    words = chain.backend_words or "not read yet: libvirt told nothing of this NIC"
    facts = [port, f"link {chain.tap_link}" if chain.tap_link else "", f"MTU {chain.tap_mtu}" if chain.tap_mtu else ""]
    backend = chain.backend or endpoint.backend
    moved = _plain_hop("backend", endpoint, backend, f"{words}{queues}", (f"virsh dumpxml {endpoint.domain}",), shown)
    if chain.veth:
        return [moved, *_bridged(endpoint, port, shown, bridged)]
    return [
        moved,
        _plain_hop("tap", endpoint, endpoint.tap, ", ".join(fact for fact in facts if fact), tap_commands, shown),
    ]


def _device(endpoint: Endpoint, past: Bypass, shown: Shown) -> Hop:
    """What a NIC is that no port of the switch stands for: the last device that is known of its way."""
    name = past.device or past.kind
    commands = past.commands or (f"virsh dumpxml {endpoint.domain}",)
    return replace(_plain_hop("backend", endpoint, name, past.label, commands, shown), measured=False)


def _bridged(endpoint: Endpoint, port: str, shown: Shown, bridged: Bridged) -> list[Hop]:
    """The tap in a Linux bridge, and the veth pair from it to br-int; the pair's far end is the switch's port."""
    chain = endpoint.chain
    inside = bridged.ports or chain.bridge_ports or "not read yet"
    tap = (f"ip -s link show {chain.tap}",)
    bridge = (
        f"bridge fdb show br {chain.bridge}",
        f"ip -d link show master {chain.bridge}",
        "nft -a list ruleset",
        f"virsh iface-dumpxml {chain.bridge}",
    )
    pair = (f"ip -s link show {endpoint.tap}", f"ovs-vsctl list interface {endpoint.tap}")
    crossed = _plain_hop("linux_bridge", endpoint, chain.bridge, f"ports: {inside}; {bridged.detail}", bridge, shown)
    return [
        _plain_hop("tap", endpoint, chain.tap, f"in {chain.bridge}", tap, shown),
        replace(crossed, steps=bridged.steps, evidence=bridged.evidence, measured=bridged.is_read),
        _plain_hop("veth", endpoint, endpoint.tap, f"cable from {chain.veth}, {port}", pair, shown),
    ]


def port_hop(host: TraceHost, endpoint: Endpoint, fields: Mapping[str, str]) -> Hop:
    """The switch's port that a packet is put into."""
    header = header_of(fields)
    number = f"port {endpoint.ofport}" if endpoint.ofport is not None else "no port given"
    return Hop(
        "ovs_port", "host", host.name, endpoint.tap or endpoint.name, number, header_before=header, header_after=header,
        header_stack=stack_of(fields), commands=(f"ovs-vsctl list interface {endpoint.tap}",),
    )  # fmt: skip


def _plain_hop(kind: HopKind, endpoint: Endpoint, name: str, detail: str, commands: tuple[str, ...], shown: Shown) -> Hop:  # fmt: skip
    """A hop that passes the packet on as it is."""
    header, stack = shown
    return Hop(
        kind, "guest" if kind == "guest_nic" else "host", endpoint.host, name, detail, header_before=header,
        header_after=header, header_stack=stack, commands=commands,
    )  # fmt: skip


def trace_command(bridge: str, flow: str, states: tuple[str, ...]) -> str:
    """The command that asks the same."""
    given = "".join(f" --ct-next {state}" for state in states)
    return f"ovs-appctl ofproto/trace {bridge} '{flow}'{given}"


@dataclass(frozen=True, slots=True)
class BridgeDraft:
    """A bridge's hop before its flows' cookies are put into words: all of a trace's are looked up at once, at its end."""

    host: TraceHost
    bridge: str
    seen: list[Seen]
    after: Mapping[str, str]
    command: str
    text: str

    def hop(self, words: Mapping[Cause, Intent]) -> Hop:
        """One bridge with a step for each table look-up, up to where the packet is `after`."""
        steps = tuple([step_of(one, self.host, words) for one in self.seen])
        before = header_of(self.seen[0].before) if self.seen else header_of(self.after)
        return Hop(
            "bridge", "host", self.host.name, self.bridge, f"{len(steps)} table{'s' * (len(steps) != 1)}", steps=steps,
            header_before=before, header_after=header_of(self.after), header_stack=stack_of(self.after),
            commands=(self.command, f"ovs-ofctl -O OpenFlow14 dump-flows {self.bridge}"), evidence=self.text,
        )  # fmt: skip


def patch_hop(host: TraceHost, bridge: str, there: str, fields: Mapping[str, str]) -> Hop:
    """The pair of patch ports between two bridges."""
    header = header_of(fields)
    return Hop(
        "patch", "host", host.name, f"{bridge} ↔ {there}", "patch ports", header_before=header, header_after=header,
        header_stack=stack_of(fields), commands=("ovs-vsctl find interface type=patch",),
    )  # fmt: skip


def step_of(seen: Seen, host: TraceHost, words: Mapping[Cause, Intent]) -> Step:
    """A look-up as a step. Tables have our names only where the flow is ours."""
    lookup = seen.lookup
    cause = parse_cookie(lookup.cookie or 0)
    table = TABLE_BY_ID.get(lookup.table) if is_ours(lookup) else None
    key = f"table={lookup.table},priority={lookup.priority},{lookup.match}" if lookup.priority is not None else ""
    actions = ", ".join(_done(lookup.actions))
    return Step(
        table=lookup.table, table_name=table.name if table else "", priority=lookup.priority, match=lookup.match or "any packet",
        actions=actions or "drop", cookie=lookup.cookie, intent=words.get(cause) if cause else None, note=_note(seen, host, cause),
        changed=seen.changed, evidence=(lookup.start, lookup.end or lookup.start), flow_key=key,
    )  # fmt: skip


def is_ours(lookup: Lookup) -> bool:
    """Does the flow carry our cookie? A table's own miss (no flow at all) is nobody's."""
    return lookup.cookie is not None and lookup.cookie >> 48 == OWNER_MARK


def _done(actions: list[str]) -> list[str]:
    """The actions without the `drop` that OVS prints after a ct(): the packet is forked there, not dropped."""
    if "drop" in actions and any(action.startswith("ct(") for action in actions):
        return [action for action in actions if action != "drop"]
    return actions


def _note(seen: Seen, host: TraceHost, cause: Cause | None) -> str:
    lookup = seen.lookup
    if lookup.priority is None:
        return "no flow matches"
    if not is_ours(lookup):
        return "foreign flow"
    table = TABLE_BY_ID.get(lookup.table)
    if table is not None and table.name == "drop":
        code = _number(seen.before.get("reg4", "0"))
        return DROP_REASON_BY_CODE[code].words if code in DROP_REASON_BY_CODE else "dropped"
    if cause and cause.kind in COPYING and (words := _copying(cause.kind, lookup)):
        return words
    if any(action.startswith("meter") for action in lookup.actions):
        way = "sends" if table is not None and table.name == "classify" else "receives"
        return f"past the rate limit of what the port {way}: what comes faster is dropped here"
    if "ct_state" in lookup.match and "trk" in lookup.match:
        return "a new connection" if "+new" in lookup.match else "a known connection"
    target = _number(seen.before.get("reg3", "0"))
    if any(action.startswith("output") for action in lookup.actions):
        if target == 0xFFF8:
            return "back to where it came from"
        return "into the tunnel" if target in host.known_tunnels else f"to port {target}"
    return table.purpose if table else ""


def _copying(kind: CauseKind, lookup: Lookup) -> str:
    """What a flow that copies packets does; "" for one that does not."""
    if kind == CauseKind.CAPTURE:
        return "a capture takes its copy here; the packet itself goes on as it is"
    if any(action.startswith("clone(") for action in lookup.actions):
        return "a mirror's copy is sent to the port that receives it; the packet itself goes on as it is"
    if lookup.table != TABLE_BY_NAME["mirror"].table_id:
        return ""
    cut = next((found[1] for action in lookup.actions if (found := _CUT.search(action))), "")
    way = "through the tunnel, by the mirror's own number" if any("tun_dst" in action for action in lookup.actions) else "to its port"  # fmt: skip
    return (
        f"the copy goes {way}{f', cut to {cut} bytes' if cut else ''}: no rule filters it and no mirror copies it again"
    )


def near_flow(near: Near, words: Mapping[Cause, Intent]) -> NearFlow:
    """A nearest flow as the page shows it."""
    flow = near.flow
    cause = parse_cookie(flow.cookie)
    table = TABLE_BY_ID.get(flow.table) if cause else None
    text = flow.match_text
    step = Step(
        flow.table, table.name if table else "", flow.priority, text or "any packet", flow.actions, flow.cookie,
        words.get(cause) if cause else None, "" if cause else "foreign flow",
        flow_key=f"table={flow.table},priority={flow.priority},{text}",
    )  # fmt: skip
    return NearFlow(step, near.differs)


def encap_hops(host: TraceHost, exit_: Exit, size: int, kind: str = "vxlan") -> list[Hop]:
    """The tunnel's mouth and the NIC that the outer packet leaves by."""
    port = f"{kind}0"
    vni = _number(exit_.tun_id)
    inner = header_of(exit_.fields)
    outer = {"outer_src": host.underlay_ip, "outer_dst": exit_.tun_dst, "tun_id": exit_.tun_id}
    if found := _OUTER.search(exit_.datapath):
        outer |= {"outer_dl_dst": found[1], "outer_dl_src": found[2]}
    stack = ("eth", "ipv4", "udp", f"{kind} {vni}", *stack_of(exit_.fields))
    told = "; ".join(note for note in exit_.notes if note.startswith(("tunneling", "output to native")))
    encap = Hop(
        "tunnel_encap", "overlay", host.name, port, f"VNI {vni}, +{TUNNEL_OVERHEAD_BYTES} B, to {exit_.tun_dst}",
        header_before=inner, header_after=inner | outer, header_stack=stack,
        commands=(f"ovs-vsctl list interface {port}", "ovs-appctl tnl/ports/show"), evidence=told,
    )  # fmt: skip
    commands = ("ovs-appctl ovs/route/show", "ovs-appctl tnl/neigh/show", "ip -s link show br-ex")
    mtu = f", {size + TUNNEL_OVERHEAD_BYTES} of {host.underlay_mtu} B" if host.underlay_mtu else ""
    nic = Hop(
        "underlay_nic", "underlay", host.name, "br-ex", f"{host.underlay_ip}{mtu}", header_before=inner | outer,
        header_after=inner | outer, header_stack=stack, commands=commands, evidence=exit_.datapath,
    )  # fmt: skip
    return [encap, nic]


def decap_hops(host: TraceHost, there: TraceHost, exit_: Exit, tunnel_ofport: int, kind: str = "vxlan") -> list[Hop]:  # fmt: skip
    """Over the wire, into the other host's NIC, out of the tunnel."""
    port = f"{kind}0"
    vni = _number(exit_.tun_id)
    inner = header_of(exit_.fields)
    inside = stack_of(exit_.fields)
    stack = ("eth", "ipv4", "udp", f"{kind} {vni}", *inside)
    outer = inner | {"outer_src": host.underlay_ip, "outer_dst": there.underlay_ip, "tun_id": exit_.tun_id}
    wire = Hop(
        "underlay", "underlay", "", "underlay", f"{host.underlay_ip} to {there.underlay_ip}", header_before=outer,
        header_after=outer, header_stack=stack, commands=(f"ping -M do -s 1472 {there.underlay_ip}",), measured=False,
    )  # fmt: skip
    nic = Hop(
        "underlay_nic", "underlay", there.name, "br-ex", there.underlay_ip, header_before=outer, header_after=outer,
        header_stack=stack, commands=("ip -s link show br-ex",), measured=False,
    )  # fmt: skip
    decap = Hop(
        "tunnel_decap", "overlay", there.name, port, f"VNI {vni}, −{TUNNEL_OVERHEAD_BYTES} B, port {tunnel_ofport}",
        header_before=outer, header_after=inner, header_stack=inside, commands=(f"ovs-vsctl list interface {port}",),
    )  # fmt: skip
    return [wire, nic, decap]


def wire_hops(host: TraceHost, there: TraceHost, fields: Mapping[str, str], segment: WireSegment, size: int) -> list[Hop]:  # fmt: skip
    """Out by the one host's NIC, over the wire that both are on, in by the other's NIC and its `br-ex`; nothing is added."""
    room = f", {size} of {host.underlay_mtu} B" if host.underlay_mtu else ""
    nics = ("ovs-vsctl list-ports br-ex", "ovs-appctl fdb/show br-ex")
    bare = Hop(
        "underlay_nic", "underlay", host.name, "br-ex", f"{segment}{room}", header_before=header_of(fields),
        header_after=header_of(fields), header_stack=stack_of(fields), commands=nics, measured=False,
    )  # fmt: skip
    way = f"{segment}, {host.name} to {there.name}"
    wire = replace(bare, kind="underlay", host="", object="underlay", detail=way, commands=())
    return [
        bare,
        wire,
        replace(bare, host=there.name, detail=str(segment)),
        patch_hop(there, "br-ex", "br-int", fields),
    ]


def entering_hops(host: TraceHost, source: str, outside: Outside, fields: Mapping[str, str]) -> list[Hop]:
    """From an external network to the switch: the outside itself, the host's NIC in br-ex, and the cable to br-int."""
    header, stack = header_of(fields), stack_of(fields)
    wire = f"VLAN {outside.vid}" if outside.vid else "untagged"
    out = Hop(
        "external", "underlay", "", source, f"of {outside.network}, {wire}", header_before=header, header_after=header,
        header_stack=stack, measured=False,
    )  # fmt: skip
    nics = ("ovs-vsctl list-ports br-ex", "ovs-appctl fdb/show br-ex")
    nic = replace(out, kind="underlay_nic", host=host.name, object="br-ex", detail=wire, commands=nics)
    return [out, nic, patch_hop(host, "br-ex", "br-int", fields)]


def router_hop(router: str, address: str, host: str, fields: Mapping[str, str]) -> Hop:
    """A distributed router, which is on every host: drawn on the one that its packet is for."""
    header = header_of(fields)
    return Hop(
        "router", "host", host, router, f"as {address}", header_before=header, header_after=header,
        header_stack=stack_of(fields), measured=False,
    )  # fmt: skip


def out_of_tunnel(host: TraceHost, kind: str, vni: int, ofport: int, fields: Mapping[str, str]) -> Hop:
    """Where what another host has routed comes in."""
    header, port = header_of(fields), f"{kind}0"
    return Hop(
        "tunnel_decap", "overlay", host.name, port, f"VNI {vni}, as what another host has routed, port {ofport}",
        header_before=header, header_after=header, header_stack=stack_of(fields),
        commands=(f"ovs-vsctl list interface {port}",), measured=False,
    )  # fmt: skip


def external_hop(host: TraceHost, port: PortFacts, fields: Mapping[str, str]) -> Hop:
    """A port that leads out of what we know."""
    header = header_of(fields)
    return Hop(
        "external", "underlay", host.name, port.name, f"port {port.ofport} of {port.bridge}", header_before=header,
        header_after=header, header_stack=stack_of(fields), commands=(f"ip -s link show {port.name}",), measured=False,
    )  # fmt: skip


def causes_of(cookies: Iterable[int | None]) -> set[Cause]:
    """The rows behind the flows' cookies; foreign ones have none."""
    return {cause for cookie in cookies if cookie and (cause := parse_cookie(cookie))}


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0
