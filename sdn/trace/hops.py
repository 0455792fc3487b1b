"""The devices of a path as hops: what each is, what it did, and the command that shows the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from sdn.model.cookie import Cause, parse_cookie
from sdn.model.trace import Hop, HopKind, Intent, Step
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID
from sdn.trace.parser import Pass
from sdn.trace.question import Endpoint, Question, TraceHost
from sdn.trace.walk import Seen, Walk

VXLAN_OVERHEAD_BYTES = 50
_HEADERS = (
    "dl_src",
    "dl_dst",
    "nw_src",
    "nw_dst",
    "nw_ttl",
    "tp_src",
    "tp_dst",
    "icmp_type",
    "arp_op",
    "arp_spa",
    "arp_tpa",
)
_OUTER = re.compile(r"eth\(dst=([0-9a-f:]+),src=([0-9a-f:]+)")


def flow_text(fields: Mapping[str, str]) -> str:
    """Fields as ovs-ofctl takes them."""
    return ",".join(name if value == "" else f"{name}={value}" for name, value in fields.items())


def stack_of(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The header stack of an untunnelled packet, outermost first."""
    for protocol in ("arp", "icmp", "tcp", "udp"):
        if protocol in fields:
            return ("eth", "arp") if protocol == "arp" else ("eth", "ipv4", protocol)
    return ("eth", "ipv4") if "nw_src" in fields else ("eth",)


def header_of(fields: Mapping[str, str]) -> dict[str, str]:
    """The packet's own header fields."""
    protocol = {name: "" for name in ("arp", "icmp", "tcp", "udp") if name in fields}
    return protocol | {name: fields[name] for name in _HEADERS if name in fields}


def inner_header(walk: Walk) -> dict[str, str]:
    """The guest's packet as it leaves the bridge."""
    return header_of(walk.fields)


def guest_hop(endpoint: Endpoint, fields: Mapping[str, str]) -> Hop:
    """The guest's own NIC."""
    detail = f"{endpoint.nic_model}, {endpoint.mac}"
    command = (f"virsh domiflist {endpoint.domain}",)
    return _plain_hop("guest_nic", endpoint, f"{endpoint.name} {endpoint.nic}", detail, command, fields)


def plug_hops(endpoint: Endpoint, fields: Mapping[str, str]) -> list[Hop]:
    """From the guest's NIC to the switch: back end, then tap."""
    queue = f"{endpoint.nic_model} queue in the QEMU process" if endpoint.backend == "qemu" else endpoint.nic_model
    tap_commands = (f"ip -s link show {endpoint.tap}", f"ovs-vsctl list interface {endpoint.tap}")
    port = f"port {endpoint.ofport} of br-int"
    return [
        _plain_hop("backend", endpoint, endpoint.backend, queue, (f"virsh dumpxml {endpoint.domain}",), fields),
        _plain_hop("tap", endpoint, endpoint.tap, port, tap_commands, fields),
    ]


def _plain_hop(kind: HopKind, endpoint: Endpoint, name: str, detail: str, commands: tuple[str, ...], fields: Mapping[str, str]) -> Hop:  # fmt: skip
    """A hop that passes the packet on as it is."""
    header = header_of(fields)
    return Hop(
        kind, "guest" if kind == "guest_nic" else "host", endpoint.host, name, detail, header_before=header,
        header_after=header, header_stack=stack_of(fields), commands=commands,
    )  # fmt: skip


def bridge_hop(question: Question, host: TraceHost, walk: Walk, text: str, flow: str, states: tuple[str, ...]) -> Hop:
    """br-int with a step for each table look-up."""
    given = "".join(f" --ct-next {state}" for state in states)
    command = f"ovs-appctl ofproto/trace {question.bridge} '{flow}'{given}"
    steps = tuple(_step(seen, host) for seen in walk.seen)
    before = header_of(walk.seen[0].before) if walk.seen else header_of(walk.fields)
    return Hop(
        "bridge", "host", host.name, question.bridge, f"{len(steps)} tables", steps=steps, header_before=before,
        header_after=header_of(walk.fields), header_stack=stack_of(walk.fields),
        commands=(command, f"ovs-ofctl -O OpenFlow14 dump-flows {question.bridge}"), evidence=text,
    )  # fmt: skip


def _step(seen: Seen, host: TraceHost) -> Step:
    lookup = seen.lookup
    table = TABLE_BY_ID.get(lookup.table)
    changed = {
        name: (seen.before.get(name, "0"), value)
        for name, value in seen.after.items()
        if seen.before.get(name) != value
    }
    key = f"table={lookup.table},priority={lookup.priority},{lookup.match}" if lookup.priority is not None else ""
    actions = ", ".join(action for action in lookup.actions if not _is_fork(action, lookup.actions))
    return Step(
        table=lookup.table, table_name=table.name if table else "", priority=lookup.priority, match=lookup.match or "any packet",
        actions=actions or "drop", cookie=lookup.cookie, intent=None, note=_note(seen, host), changed=changed,
        evidence=(lookup.start, lookup.end or lookup.start), flow_key=key,
    )  # fmt: skip


def _is_fork(action: str, actions: list[str]) -> bool:
    """OVS prints `drop` after a ct(): the packet is forked there, not dropped."""
    return action == "drop" and any(other.startswith("ct(") for other in actions)


def _note(seen: Seen, host: TraceHost) -> str:
    lookup = seen.lookup
    if lookup.priority is None:
        return "no flow matches"
    if lookup.table in TABLE_BY_ID and TABLE_BY_ID[lookup.table].name == "drop":
        code = int(seen.after.get("reg4", "0"), 0)
        return DROP_REASON_BY_CODE[code].words if code in DROP_REASON_BY_CODE else "dropped"
    if "ct_state" in lookup.match:
        return "a new connection" if "+new" in lookup.match else "a known connection"
    target = int(seen.after.get("reg3", "0"), 0) if "reg3" in seen.after else 0
    if any(action.startswith("output") for action in lookup.actions):
        return "into the tunnel" if target == host.tunnel_ofport else f"to port {target}"
    return TABLE_BY_ID[lookup.table].purpose if lookup.table in TABLE_BY_ID else ""


def encap_hops(host: TraceHost, walk: Walk, passes: list[Pass]) -> list[Hop]:
    """The tunnel's mouth and the NIC that the outer packet leaves by."""
    vni = int(walk.tun_id, 0)
    inner = inner_header(walk)
    outer = _outer(host.underlay_ip, walk, passes)
    stack = ("eth", "ipv4", "udp", f"vxlan {vni}", *stack_of(walk.fields))
    notes = [note for one in passes for visit in one.bridges for lookup in visit.lookups for note in lookup.notes]
    told = "; ".join(note for note in notes if note.startswith(("tunneling", "output to native")))
    encap = Hop(
        "tunnel_encap", "overlay", host.name, "vxlan0", f"VNI {vni}, +{VXLAN_OVERHEAD_BYTES} B, to {walk.tun_dst}",
        header_before=inner, header_after=inner | outer, header_stack=stack,
        commands=("ovs-vsctl list interface vxlan0", "ovs-appctl tnl/ports/show"), evidence=told,
    )  # fmt: skip
    commands = ("ovs-appctl ovs/route/show", "ovs-appctl tnl/neigh/show", "ip -s link show br-ex")
    nic = Hop(
        "underlay_nic", "underlay", host.name, "br-ex", host.underlay_ip, header_before=inner | outer,
        header_after=inner | outer, header_stack=stack, commands=commands, evidence=passes[-1].datapath_actions,
    )  # fmt: skip
    return [encap, nic]


def decap_hops(host: TraceHost, there: TraceHost, walk: Walk) -> list[Hop]:
    """Over the wire, into the other host's NIC, out of the tunnel."""
    vni = int(walk.tun_id, 0)
    inner = inner_header(walk)
    stack = ("eth", "ipv4", "udp", f"vxlan {vni}", *stack_of(walk.fields))
    outer = inner | {"outer_src": host.underlay_ip, "outer_dst": there.underlay_ip, "tun_id": walk.tun_id}
    words = f"{host.underlay_ip} to {there.underlay_ip}"
    wire = Hop("underlay", "underlay", "", "underlay", words, header_before=outer, header_after=outer, header_stack=stack, commands=(f"ping -M do -s 1472 {there.underlay_ip}",), measured=False)  # fmt: skip
    nic = Hop("underlay_nic", "underlay", there.name, "br-ex", there.underlay_ip, header_before=outer, header_after=outer, header_stack=stack, commands=("ip -s link show br-ex",), measured=False)  # fmt: skip
    decap = Hop("tunnel_decap", "overlay", there.name, "vxlan0", f"VNI {vni}, −{VXLAN_OVERHEAD_BYTES} B, port {there.tunnel_ofport}", header_before=outer, header_after=inner, header_stack=stack_of(walk.fields), commands=("ovs-vsctl list interface vxlan0",))  # fmt: skip
    return [wire, nic, decap]


def _outer(underlay_ip: str, walk: Walk, passes: list[Pass]) -> dict[str, str]:
    fields = {"outer_src": underlay_ip, "outer_dst": walk.tun_dst, "tun_id": walk.tun_id}
    for one in passes:
        if found := _OUTER.search(one.datapath_actions):
            fields |= {"outer_dl_dst": found[1], "outer_dl_src": found[2]}
    return fields


def with_intents(hop: Hop, words: Mapping[Cause, Intent]) -> Hop:
    """The hop with its steps' cookies in words."""
    if not hop.steps:
        return hop
    return replace(hop, steps=tuple(_with_intent(step, words) for step in hop.steps))


def _with_intent(step: Step, words: Mapping[Cause, Intent]) -> Step:
    cause = parse_cookie(step.cookie or 0)
    if cause is None:
        return step if step.priority is None else replace(step, note=f"foreign flow: {step.note}".rstrip(": "))
    return replace(step, intent=words.get(cause))
