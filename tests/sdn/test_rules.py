"""Security groups: the compiled flows of all hosts agree with the plain specification, whatever the world.

[vm]--tap--[br-int@hv1]==vni==[br-int@hv2]--tap--[vm], each host's switch a real Open vSwitch, a shadow, asked by ofproto/trace
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sdn.compiler import compile_host
from sdn.compiler.masks import FULL, mask_blocks
from sdn.compiler.zones import MAX_ZONE, port_zones
from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.flow import Flow, format_flow
from sdn.model.intent import (
    AddressPair,
    IntentSnapshot,
    PortIntent,
    RouterIntent,
    RouterPortIntent,
    RuleIntent,
    SecurityGroupIntent,
)
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_NAME
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.codec import encode_flow
from tests.sdn.spec import Connection, Sample, allows, verdict
from tests.sdn.switch import Fate, Switch
from tests.sdn.worlds import FIRST_OFPORT, TUNNEL_OFPORT, make_world, view_of

MAX_HOSTS, MAX_PORTS = 4, 6
NUMBERS = [0, 8, 21, 22, 23, 80, 443, 1023, 1024, 65535]
CIDRS = [
    IPv4Network("10.20.0.0/24"),
    IPv4Network("10.20.0.10/31"),
    IPv4Network("10.20.0.12/32"),
    IPv4Network("0.0.0.0/0"),
]
CIDRS6 = [IPv6Network("fd00::/64"), IPv6Network("fd00::a/127"), IPv6Network("fd00::c/128"), IPv6Network("::/0")]
STATES: dict[Connection, str] = {"new": "trk,new", "established": "trk,est", "reply": "trk,est,rpl"}
ANSWERS = {4: {8: 0}, 6: {128: 129}}  # ICMP type → type of its answer


@st.composite
def rules(draw: st.DrawFn, group_ids: list[int]) -> RuleIntent:
    """A rule of no id yet."""
    family, protocol = draw(st.sampled_from([4, 4, 6])), draw(st.sampled_from(["any", "tcp", "udp", "icmp"]))
    pair = draw(st.none() | st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)))
    ports = None
    if pair is not None and protocol in ("tcp", "udp"):
        ports = min(pair), max(pair)
    elif pair is not None and protocol == "icmp":
        ports = draw(st.sampled_from([(8, -1), (8, 0), (0, -1), (128, -1)]))
    remote = draw(st.sampled_from(["anybody", "cidr", "group"]))
    return RuleIntent(
        0, draw(st.sampled_from(["ingress", "egress"])), family, protocol, ports,
        draw(st.sampled_from(CIDRS if family == 4 else CIDRS6)) if remote == "cidr" else None,
        draw(st.sampled_from(group_ids)) if remote == "group" else None,
    )  # fmt: skip


@st.composite
def governed_worlds(draw: st.DrawFn, families: tuple[int, ...] = (4,)) -> IntentSnapshot:
    """Hosts, two networks with the same addresses, ports in any groups with any rules, some not secured."""
    hosts = draw(st.integers(1, MAX_HOSTS))
    places = st.tuples(st.integers(0, 1), st.none() | st.integers(0, hosts - 1) | st.integers(0, hosts - 1))
    world = make_world(hosts, 2, draw(st.lists(places, min_size=2, max_size=MAX_PORTS)))
    ids = list(range(1, 1 + draw(st.integers(1, 3))))
    drawn = [draw(st.lists(rules(ids), max_size=5)) for _ in ids]
    numbered = iter(range(1, 100))
    groups = tuple(
        SecurityGroupIntent(group_id, f"group-{group_id}", tuple(replace(rule, id=next(numbered)) for rule in some))
        for group_id, some in zip(ids, drawn, strict=True)
    )
    ports = tuple(_governed(draw, port, ids) for port in world.ports)
    return replace(world, ports=_renumbered(ports, families), groups=groups)


def _governed(draw: st.DrawFn, port: PortIntent, group_ids: list[int]) -> PortIntent:
    pairs = draw(st.sampled_from([(), (), (AddressPair(IPv4Network("10.20.0.12/31")),)]))
    mine = tuple(sorted(draw(st.sets(st.sampled_from(group_ids)))))
    return replace(port, groups=mine, is_secured=draw(st.sampled_from([True, True, True, False])), pairs=pairs)


def _renumbered(ports: tuple[PortIntent, ...], families: tuple[int, ...]) -> tuple[PortIntent, ...]:
    """Addresses from 10.20.0.10 and fd00::a on in each network: the other network has the same ones."""
    seen: dict[int, int] = {}
    found = []
    for port in ports:
        place = seen[port.network_id] = seen.get(port.network_id, 9) + 1
        both = IPv4Address("10.20.0.0") + place, IPv6Address("fd00::") + place
        found.append(replace(port, addresses=tuple(one for one in both if one.version in families)))
    return tuple(found)


@st.composite
def samples(draw: st.DrawFn, world: IntentSnapshot, family: int) -> Sample | None:
    """A packet between two plugged ends of one network; None where the world has no such pair."""
    pairs = [(a, b) for a in world.ports for b in world.ports if a.network_id == b.network_id and a != b and a.host]
    if not pairs:
        return None
    source, target = draw(st.sampled_from(pairs))
    protocol = draw(st.sampled_from(["tcp", "udp", "icmp"]))
    connection = draw(st.sampled_from(sorted(STATES)))
    kinds = [*ANSWERS[family]] if connection == "reply" else [0, 8, 128]
    number = draw(st.sampled_from(kinds if protocol == "icmp" else NUMBERS))
    return Sample(source, target, family, protocol, number, 0, connection)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, Switch]]:
    """A switch a host, each with the tunnel and a port of every number that a world may have."""
    numbers = (TUNNEL_OFPORT, *range(FIRST_OFPORT + 1, FIRST_OFPORT + 1 + MAX_PORTS))
    with ExitStack() as stack:
        switches = {f"hv{number}": Switch(stack.enter_context(Shadow())) for number in range(1, MAX_HOSTS + 1)}
        for switch in switches.values():
            switch.shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in numbers))])
        yield switches


def load(hosts: dict[str, Switch], world: IntentSnapshot) -> None:
    """Give every host's bridge the world's flows."""
    for host in world.hosts:
        lines = [format_flow(flow) for flow in compile_host(world, view_of(world, host.name))]
        hosts[host.name].shadow.set_flows("br-int", "\n".join(lines))


def packet_of(sample: Sample, in_port: int) -> str:
    """The sample as ofproto/trace takes it."""
    six = sample.family == 6
    name = f"{sample.protocol}{'6' if six else ''}"
    field = "ipv6" if six else "nw"
    source, target = sample.address(sample.source), sample.address(sample.target)
    ends = f"dl_src={sample.source.mac},dl_dst={sample.target.mac},{field}_src={source},{field}_dst={target},nw_ttl=64"
    is_reply = sample.connection == "reply"
    if sample.protocol == "icmp":
        kind = ANSWERS[sample.family][sample.number] if is_reply else sample.number
        tail = f"icmp{'v6' if six else ''}_type={kind},icmp{'v6' if six else ''}_code={sample.code}"
    else:
        near, far = (sample.number, 40000) if is_reply else (40000, sample.number)
        tail = f"{sample.protocol}_src={near},{sample.protocol}_dst={far}"
    return f"{name},in_port={in_port},{ends},{tail}"


def fates(hosts: dict[str, Switch], world: IntentSnapshot, sample: Sample) -> Iterator[Fate]:
    """What each host on the packet's way says, from the source's on."""
    states = (STATES[sample.connection],) * 2
    fate = hosts[str(sample.source.host)].trace(packet_of(sample, FIRST_OFPORT + sample.source.id), *states)
    yield fate
    if fate.outputs == [TUNNEL_OFPORT]:
        there = re.findall(r"set_field:([\d.]+)->tun_dst", fate.text)[-1]
        vni = re.findall(r"set_field:(\w+)->tun_id", fate.text)[-1]
        host = next(host for host in world.hosts if str(host.underlay_ip) == there)
        yield hosts[str(host.name)].trace(f"{packet_of(sample, TUNNEL_OFPORT)},tun_id={vni}", *states)


def said(fate: Fate) -> str:
    return DROP_REASON_BY_CODE[fate.drop_reason].name if fate.drop_reason else "delivered"


relaxed = settings(  # an example loads up to four switches: shrinking one would take minutes
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@relaxed
@given(st.data())
def test_every_sampled_packet_meets_the_verdict_of_the_specification(hosts, data) -> None:
    world = data.draw(governed_worlds())
    load(hosts, world)
    for _ in range(8):
        sample = data.draw(samples(world, 4))
        if sample is None:
            return
        way = list(fates(hosts, world, sample))
        assert said(way[-1]) == verdict(world, sample), way[-1].text
        if said(way[-1]) == "delivered":
            assert way[-1].outputs == [FIRST_OFPORT + sample.target.id], way[-1].text


@relaxed
@given(st.data())
def test_ipv6_is_judged_by_the_same_rules(hosts, data) -> None:
    """Each side by itself: from the tunnel into a port, and from a port with what comes before the rules left out."""
    world = data.draw(governed_worlds((4, 6)))
    for host in world.hosts:
        hosts[host.name].shadow.set_flows("br-int", _straight_to_the_rules(world, host.name))
    for _ in range(8):
        sample = data.draw(samples(world, 6))
        if sample is None:
            return
        states = (STATES[sample.connection],)
        out = hosts[str(sample.source.host)].trace(packet_of(sample, FIRST_OFPORT + sample.source.id), *states)
        may = not sample.source.is_secured or allows(world, sample, "egress")
        assert (said(out) not in ("egress_denied", "reply_denied")) == may, out.text
        if sample.target.host:
            arrival = f"{packet_of(sample, TUNNEL_OFPORT)},tun_id={4096 + sample.target.network_id:#x}"
            back = hosts[str(sample.target.host)].trace(arrival, *states)
            may = not sample.target.is_secured or allows(world, sample, "ingress")
            denied = "reply_denied" if sample.connection == "reply" else "ingress_denied"
            assert said(back) == ("delivered" if may else denied), back.text


def _straight_to_the_rules(world: IntentSnapshot, host: str) -> str:
    around = {TABLE_BY_NAME[name].table_id for name in ("port_security", "responders", "router")}
    straight = f"goto_table:{TABLE_BY_NAME['conntrack_egress'].table_id}"
    flows = [flow for flow in compile_host(world, view_of(world, host)) if flow.key.table_id not in around]
    return "\n".join(
        format_flow(flow).replace(f"goto_table:{TABLE_BY_NAME['port_security'].table_id}", straight) for flow in flows
    )


@given(st.integers(0, FULL), st.integers(0, FULL))
@example(0, FULL)
@example(1, FULL - 1)
@example(22, 22)
def test_mask_blocks_match_the_range_and_nothing_else(one: int, other: int) -> None:
    first, last = min(one, other), max(one, other)
    blocks = list(mask_blocks(first, last))
    at = first
    for value, mask in blocks:  # each block is value … value + size - 1, so the blocks must join without gap or overlap
        size = FULL - mask + 1
        assert size & (size - 1) == 0 and value % size == 0 and value == at
        at = value + size
    assert at == last + 1
    assert len(blocks) <= 30


@given(st.sets(st.integers(1, 300_000), max_size=50), st.sets(st.integers(1, MAX_ZONE), max_size=20))
def test_every_port_of_a_host_has_a_zone_of_its_own(ids: set[int], taken: set[int]) -> None:
    zones = port_zones(ids, taken)
    assert set(zones) == ids
    assert len({*zones.values(), *taken}) == len(ids) + len(taken)
    assert all(1 <= zone <= MAX_ZONE for zone in zones.values())
    assert port_zones(sorted(ids, reverse=True), taken) == zones


def test_ports_whose_ids_meet_get_neighbouring_zones() -> None:
    assert port_zones([7, 7 + MAX_ZONE]) == {7: 8, 7 + MAX_ZONE: 9}
    assert port_zones([MAX_ZONE - 1, 2 * MAX_ZONE - 1]) == {MAX_ZONE - 1: MAX_ZONE, 2 * MAX_ZONE - 1: 1}


def _pair_world(*rules_: RuleIntent) -> IntentSnapshot:
    """[vm-0]--11--[hv1]--12--[vm-1], and vm-2 of hv2 with vm-1's group; vm-0 is in the group of everything."""
    world = make_world(2, 1, [(0, 0), (0, 0), (0, 1)])
    group = SecurityGroupIntent(2, "web", rules_)
    ports = tuple(replace(port, groups=(2,) if port.id > 1 else port.groups) for port in world.ports)
    return replace(world, ports=ports, groups=(*world.groups, group))


SSH = RuleIntent(50, "ingress", 4, "tcp", (22, 22))


@pytest.fixture
def ssh_world(hosts) -> IntentSnapshot:
    world = _pair_world(SSH)
    load(hosts, world)
    return world


def _ssh(world: IntentSnapshot, connection: Connection = "new", number: int = 22) -> Sample:
    return Sample(world.ports[0], world.ports[1], 4, "tcp", number, 0, connection)


def test_a_packet_that_a_rule_allows_meets_the_rules_own_flow(hosts, ssh_world) -> None:
    """[vm-0]--11--[br-int@hv1]--12--[vm-1]"""
    (fate,) = fates(hosts, ssh_world, _ssh(ssh_world))
    cookie = format_cookie(Cause(CauseKind.SECURITY_RULE, SSH.id))
    assert re.search(rf"65\. conj_id=50,ip, priority 90, cookie {cookie:#x}", fate.text), fate.text


def test_a_denied_packet_meets_the_ports_own_flow(hosts, ssh_world) -> None:
    """[vm-0]--11--[br-int@hv1] ✘ vm-1"""
    (fate,) = fates(hosts, ssh_world, _ssh(ssh_world, number=80))
    cookie = format_cookie(Cause(CauseKind.PORT, ssh_world.ports[1].id), drops=True)
    assert said(fate) == "ingress_denied"
    assert re.search(rf"65\. reg2=0x2, priority 50, cookie {cookie:#x}", fate.text), fate.text


@pytest.mark.parametrize(("rules_", "there", "back"), [((SSH,), "delivered", "delivered"), ((), "ingress_denied", "reply_denied")])  # fmt: skip
def test_an_established_connection_is_judged_both_ways_by_the_rules_of_now(
    hosts, rules_, there: str, back: str
) -> None:
    """[vm-0]--11--[br-int@hv1]--12--[vm-1], a connection that vm-0 opened when it was allowed"""
    world = _pair_world(*rules_)
    load(hosts, world)
    (fate,) = fates(hosts, world, _ssh(world, "established"))
    assert said(fate) == there
    assert "commit" not in fate.text, "a packet of a known connection changes nothing"
    (fate,) = fates(hosts, world, Sample(world.ports[1], world.ports[0], 4, "tcp", 22, 0, "reply"))
    assert said(fate) == back


def test_later_fragments_go_with_the_rules_of_their_protocol(hosts, ssh_world) -> None:
    packet = packet_of(_ssh(ssh_world, number=0), FIRST_OFPORT + 1).replace("tcp_src=40000,tcp_dst=0", "nw_frag=later")
    assert said(hosts["hv1"].trace(packet)) == "delivered"
    assert said(hosts["hv1"].trace(packet.replace("tcp,", "udp,", 1))) == "ingress_denied"


def test_an_invalid_packet_has_its_own_reason(hosts, ssh_world) -> None:
    fate = hosts["hv1"].trace(packet_of(_ssh(ssh_world), FIRST_OFPORT + 1), "trk,inv")
    assert said(fate) == "invalid_state"


def test_an_icmp_error_of_a_connection_passes_without_a_rule(hosts, ssh_world) -> None:
    sample = Sample(ssh_world.ports[0], ssh_world.ports[1], 4, "icmp", 3, 4)
    packet = packet_of(sample, FIRST_OFPORT + 1)
    assert said(hosts["hv1"].trace(packet, "trk,new", "trk,rel")) == "delivered"
    assert said(hosts["hv1"].trace(packet, "trk,new", "trk,new")) == "ingress_denied"


def test_the_gateway_answers_whatever_the_rules(hosts) -> None:
    """vm-1 may send nothing: DHCP, the gateway's ping and the answer to its SSH probe work nevertheless."""
    world = _pair_world()
    load(hosts, world)
    me, gateway = world.ports[1], f"dl_dst=52:54:00:ff:00:00,nw_src={world.ports[1].addresses[0]},nw_dst=10.20.0.1"
    head = f"in_port={FIRST_OFPORT + me.id},dl_src={me.mac},{gateway},nw_ttl=64"
    switch = hosts["hv1"]
    assert switch.trace(f"icmp,{head},icmp_type=8").outputs == [FIRST_OFPORT + me.id]
    for answer in (f"tcp,{head},tp_src=22,tp_dst=4853,tcp_flags=syn|ack", f"udp,{head},udp_src=68,udp_dst=67"):
        assert "CONTROLLER:65535" in switch.trace(answer).text
    assert said(switch.trace(f"tcp,{head},tp_src=40000,tp_dst=80")) == "egress_denied"


def test_a_flood_is_judged_at_each_port_it_comes_to(hosts) -> None:
    """[vm-0]--11--[br-int@hv1] ✘ vm-1, ✔ vm-2 behind the tunnel is judged there"""
    world = _pair_world(RuleIntent(51, "ingress", 4, "udp", (5353, 5353)))
    load(hosts, world)
    sender = world.ports[0]
    flood = f"udp,in_port={FIRST_OFPORT + 1},dl_src={sender.mac},dl_dst=ff:ff:ff:ff:ff:ff,nw_src={sender.addresses[0]}"
    packet = f"{flood},nw_dst=255.255.255.255,nw_ttl=64,udp_src=9,udp_dst="
    assert sorted(hosts["hv1"].trace(f"{packet}5353").outputs) == [TUNNEL_OFPORT, FIRST_OFPORT + 2]
    assert hosts["hv1"].trace(f"{packet}5354").outputs == [TUNNEL_OFPORT]


def test_a_remote_group_counts_on_every_network_that_a_router_joins_and_on_no_other() -> None:
    world = make_world(1, 3, [(0, 0), (1, 0), (2, 0)])
    rule = RuleIntent(50, "ingress", 4, "any", group_id=2)
    ports = tuple(replace(port, groups=(2,)) for port in world.ports)
    router = RouterIntent(1, "r1", world.networks[0].vni, 60000, (RouterPortIntent(1, 1), RouterPortIntent(2, 2)))
    world = replace(world, ports=ports, groups=(SecurityGroupIntent(2, "web", (rule,)),), routers=(router,))
    found = {
        (dict(flow.key.match)["reg1"], dict(flow.key.match)["nw_src"])
        for flow in _rule_flows(world)
        if "reg1" in dict(flow.key.match)
    }
    here = {"0x1001": {"10.20.0.10", "10.20.0.11"}, "0x1002": {"10.20.0.10", "10.20.0.11"}, "0x1003": {"10.20.0.12"}}
    assert found == {(vni, address) for vni, addresses in here.items() for address in addresses}


def _rule_flows(world: IntentSnapshot) -> list[Flow]:
    table = TABLE_BY_NAME["ingress_rules"].table_id
    return [flow for flow in compile_host(world, view_of(world, "hv1")) if flow.key.table_id == table]


@pytest.mark.parametrize("members", [10, 100])
def test_the_flows_of_rules_are_a_sum_of_ports_addresses_and_rules(members: int) -> None:
    world = make_world(1, 1, [(0, 0)] * members)
    rules_ = tuple(RuleIntent(number, "ingress", 4, "tcp", (number, number), group_id=1) for number in range(100, 120))
    world = replace(world, groups=(SecurityGroupIntent(1, "web", rules_),))
    per_port = 1 + 1 + 1  # its denial, its clause, its address
    fixed = len(_rule_flows(make_world(1, 1, [])))
    assert len(_rule_flows(world)) == fixed + members * per_port + len(rules_) * 3 + 1  # accept twice, port; fragments


@relaxed
@given(governed_worlds())
def test_every_rules_flow_has_bytes(world: IntentSnapshot) -> None:
    for host in world.hosts:
        for flow in compile_host(world, view_of(world, host.name)):
            assert encode_flow(flow).key
