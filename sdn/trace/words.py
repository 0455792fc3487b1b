"""Every end of a packet in words: why, and what to change. Tables, so that pages, texts and tests read the same."""

from __future__ import annotations

from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID
from sdn.trace.fields import protocol_of
from sdn.trace.question import Endpoint, Question, TraceHost
from sdn.trace.walked import Exit, Seen

# What OVS says that it did not do (ofproto-dpif-xlate.c) → the reason in words
REFUSALS: tuple[tuple[str, str], ...] = (
    ("skipping output to input port", "it would go back out of the port that it came in by"),
    ("Nonexistent output port", "the port that it is sent to is not there"),
    ("decrement TTL exception", "its time to live ran out"),
    ("OFPPC_NO_FWD", "the port that it is sent to is set not to forward"),
    ("OFPPC_PORT_DOWN", "the port that it is sent to is switched off"),
    ("neighbor cache miss", "the host does not know the other host's MAC yet: it asks by ARP and drops this packet"),
    ("native tunnel routing failed", "the host has no route to the other host"),
    ("over max translation depth", "its tables send it in circles: the switch gives up after 64 resubmits"),
    ("resubmit actions over limit", "its tables send it in circles: the switch gives up after 4,096 resubmits"),
    ("STP not in", "the spanning tree blocks the port that it is sent to"),
)
# The drop reasons of the pipeline → what to do. {source}, {target}, {service} are put in.
SUGGESTIONS: dict[str, str] = {
    "egress_denied": "Allow {service} to {target} in an egress rule of one of {source}'s security groups.",
    "ingress_denied": "Allow {service} from {source} in an ingress rule of one of {target}'s security groups.",
    "unknown_mac": "Check that {target} is on the same network as {source} and was not deleted.",
    "port_down": "Start {target}: its NIC is plugged into no switch.",
    "no_route": "Connect the network to a router that has a route to {target}.",
    "no_neighbour": "Check the address: no port of the network has {target}.",
    "spoofed_mac": "Send from the port's own MAC, or allow the other one as an address pair of {source}.",
    "spoofed_ipv4": "Send from the port's own address, or allow the other one as an address pair of {source}.",
    "spoofed_ipv6": "Send from the port's own address, or allow the other one as an address pair of {source}.",
    "spoofed_arp": "Ask from the port's own address, or allow the other one as an address pair of {source}.",
    "spoofed_nd": "Ask from the port's own address, or allow the other one as an address pair of {source}.",
    "rogue_dhcp": "Turn the DHCP server or router advertiser in {source} off: the network does it.",
    "invalid_state": "Start the connection anew: conntrack knows no beginning of this one.",
    "unknown_vni": "Wait until the other host's flows are installed, or check its controller.",
    "unknown_port": "Check that {source}'s port belongs to a network.",
    "ttl_exceeded": "Look for a routing loop, or send with a larger TTL.",
    "too_big": "Send smaller packets: the sender was told by ICMP how large they may be.",
    "rate_limited": "Raise the rate limit of {source}, or send less: it is on the VM's page.",
    "no_ipv6": "Give the network an IPv6 subnet, or use the IPv4 address.",
    "unknown_protocol": "Use IPv4, IPv6 or ARP: the network carries nothing else.",
}


def service_of(question: Question) -> str:
    """`tcp/5432`, `icmp`."""
    packet = question.packet
    return f"{packet.protocol}/{packet.port_dst}" if packet.protocol in ("tcp", "udp", "sctp") else packet.protocol


def drop_words(
    host: TraceHost, exit_: Exit, decided: Seen, target: Endpoint | None, *, is_ours: bool
) -> tuple[str, str]:
    """The sentence, and the drop reason's name ("" where the pipeline is not ours); `target` is who it is for, if anybody."""
    fields, lookup = exit_.fields, decided.lookup
    if is_ours:
        reason = DROP_REASON_BY_CODE.get(_number(fields.get("reg4", "0")))
        table = TABLE_BY_ID.get(_number(fields.get("reg5", "0")))
        if reason is not None and table is not None:
            where = f"table {table.table_id} ({table.name}) of {host.name}"
            if reason.name == "port_down" and target is not None and not target.entry:
                return (
                    f"{target.name} is not running: its NIC is plugged into no switch, so {where} drops it.",
                    reason.name,
                )
            return f"Dropped in {where}: {reason.words}.", reason.name
    where = f"in table {lookup.table} of {lookup.bridge or 'its bridge'} on {host.name}"
    if exit_.kind == "refused":
        return f"Dropped {where}: {refusal_words(exit_.why)}.", ""
    if lookup.priority is None:
        return f"Dropped {where}: no flow of the table matches it.", "table_miss"
    flow = f"priority {lookup.priority}, {lookup.match or 'any packet'}"
    return f"Dropped {where}: the flow {flow} says so.", ""


def copy_words(host: str, verdict: str, where: str, there: str, reason: str) -> str:
    """What becomes of the copy that a mirror makes on `host`."""
    if verdict == "delivered":
        return f"{host} sends a copy of it to {where}{f' on {there}' if there and there != host else ''}: a mirror watches the port."
    return f"A mirror watches the port, and its copy does not arrive. {reason}"


def refusal_words(why: str) -> str:
    """What OVS said, in words; its own where we have none."""
    return next((words for start, words in REFUSALS if start in why), f"Open vSwitch says: {why}")


def suggestion_for(reason: str, question: Question) -> str:
    """What to change so that the packet arrives; "" where there is nothing to say."""
    text = SUGGESTIONS.get(reason, "")
    return text.format(source=question.source.name, target=question.target_name, service=service_of(question))


def answer_words(host: TraceHost, exit_: Exit, question: Question) -> str:
    """The switch answered by itself: what it said."""
    fields, who = exit_.fields, question.source.name
    protocol = protocol_of(fields)
    if protocol == "arp":
        said = f"{fields.get('arp_spa', '?')} is at {fields.get('arp_sha', '?')}"
        return f"The switch of {host.name} answers {who} itself: {said}."
    if protocol == "icmp6" and fields.get("icmp_type") == "136":
        said = f"{fields.get('nd_target', '?')} is at {fields.get('nd_tll', fields.get('dl_src', '?'))}"
        return f"The switch of {host.name} answers {who} itself: {said}."
    if protocol in ("icmp", "icmp6"):
        return f"The switch of {host.name} answers {who} itself, as {question.target_name}."
    return f"The switch of {host.name} sends it back to {who}, where it came from."


def controller_words(host: TraceHost, exit_: Exit) -> str:
    """Up to the controller: what for."""
    ports = {exit_.fields.get("tp_src"), exit_.fields.get("tp_dst")}
    if ports == {"67", "68"}:
        return f"The controller of {host.name} answers it: this is how DHCP works here."
    return f"The switch of {host.name} hands it to the controller."


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1
