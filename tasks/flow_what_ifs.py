"""Answering a what-if about a flow: what is recorded of the host's switch, on a copy, with the flow and without.

1. Open vSwitch itself reads the flow and says what it changes: the copy is dumped before and after.
2. The packet, where one is given, is followed through the copy of the whole host, foreign bridges too, before and after.
3. A flow of br-int may change who reaches whom: the pairs with an end on the host are asked on the warm shadow, where this
   host has its recorded flows and the others have what the rows make of them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from django.db import transaction
from django.utils import timezone

from portal.checks.flow_apply import Exact, pack_exact
from portal.checks.models import FlowWhatIf, RunState
from portal.checks.presentation import current_generation
from portal.checks.serialize import flow_what_if_changed
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.topology.bridges import OURS
from portal.topology.flow_rows import FlowDiff, Table, deltas_of, diff_tables, flow_line, is_foreign, table_at
from portal.topology.models import FlowRecord, HostSeen
from portal.topology.topology_objects import read_switch
from sdn.bundle import Bundle, BundleShadow
from sdn.bundle.values import BundleBridge, BundleInterface, BundlePort
from sdn.model.flow import Flow
from sdn.model.intent import HostView
from sdn.model.switch import BridgeSeen, PortSeen, SwitchSeen
from sdn.model.trace import to_json
from sdn.reach import Changed, Service, differing
from sdn.reach.pairs import ServiceProtocol
from sdn.shadow import ShadowError
from sdn.transport.flowtext import decode_flow
from sdn.transport.openflow import ChannelError, open_channel
from sdn.transport.ovsdb import CABLE, GENEVE, TUNNEL
from tasks.bundles import trace_bundle
from tasks.raw_flows import FlowProblem
from tasks.shadows import EDITED, desk, read_intent
from tasks.trace_then import doubts_of

log = logging.getLogger("hopsight.what_ifs")
VERBS = {"add": "add", "edit": "modify_strict", "remove": "delete_strict"}
LINES_KEPT, PAIRS_KEPT, PORTS_ASKED, FINDINGS_KEPT = 200, 200, 300, 10
PROTOCOLS: dict[str, ServiceProtocol] = {
    **{word: cast(ServiceProtocol, word.rstrip("6")) for word in ("icmp", "icmp6", "tcp", "tcp6", "udp", "udp6")},
    "sctp": "sctp", "sctp6": "sctp",
}  # fmt: skip
USUAL = (Service("icmp"), Service("tcp", 22))
USUAL_PORT = 80
LEFT_OUT = "left out"
OVS_WORDS = re.compile(r"-:1: (.*)")
NOT_RECORDED = "The flows of {} are not recorded yet: its controller has not read them."


class WhatIfProblem(Exception):
    """It cannot be tried; the message is for who asked."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one copy of the host said."""

    diff: FlowDiff
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    findings: tuple[str, ...]


def run_flow_what_if(run_id: int) -> None:
    """Compute it and tell the operators; whatever fails ends as words in it."""
    run = FlowWhatIf.objects.filter(pk=run_id, state=RunState.RUNNING).select_related("host").first()
    if run is None:
        return
    try:
        run.result, run.exact = _computed(run)
        run.generation = current_generation()
        run.state = RunState.DONE
    except WhatIfProblem as problem:
        run.state, run.error = RunState.FAILED, str(problem)
    except Exception:  # the task's edge: whoever waits must be told
        log.exception("flow_what_if=%s failed", run.uuid)
        run.state, run.error = RunState.FAILED, "The shadow switch failed; the log of the worker has the details."
    with transaction.atomic():
        if FlowWhatIf.objects.filter(pk=run.pk).exists():  # thrown away meanwhile: nobody waits
            run.save(update_fields=["state", "result", "exact", "generation", "error"])
            flow_what_if_changed(run)


def _computed(run: FlowWhatIf) -> tuple[dict[str, Any], list[list[Any]]]:
    seen = HostSeen.objects.filter(host=run.host).first()
    switch = read_switch(seen.switch) if seen else None
    if switch is None:
        raise WhatIfProblem(f"The switch of {run.host.name} was not read yet.")
    tables, doubts = _recorded(run.host)
    if run.bridge not in tables:
        raise WhatIfProblem(NOT_RECORDED.format(f"{run.bridge} on {run.host.name}"))
    tried = _tried(run, _bundle(run.host.name, switch, tables))
    pairs = _pairs(run, switch, tables[run.bridge], tried.diff)
    lines = list(_lines(tried.diff))
    result = {
        "lines": lines[:LINES_KEPT], "line_count": len(lines), "before": tried.before, "after": tried.after,
        "findings": [*doubts, *tried.findings][:FINDINGS_KEPT], **_fate(run, tried.diff), **pairs,
    }  # fmt: skip
    return result, pack_exact(_exact(tried.diff))


def _exact(diff: FlowDiff) -> Iterator[Exact]:
    yield from (Exact(flow, None) for flow in diff.removed)
    yield from (Exact(was, flow) for was, flow in diff.changed)
    yield from (Exact(None, flow) for flow in diff.added)


def _recorded(host: Host) -> tuple[dict[str, Table], list[str]]:
    """Each bridge's flows as last recorded, and what is not certain of them."""
    now = timezone.now()
    tables: dict[str, Table] = {}
    doubts: list[str] = []
    for record in FlowRecord.objects.filter(host=host).select_related("host"):
        table = table_at(record, now)
        if table is not None:
            tables[record.bridge] = table
            doubts += doubts_of(record, now)
    return tables, doubts


def _bundle(host: str, switch: SwitchSeen, tables: Mapping[str, Table]) -> Bundle:
    """The host as what a shadow is loaded with."""
    bridges = tuple(
        BundleBridge(one.name, tuple(_port(port) for port in one.ports if port.name != one.name), tuple(map(flow_line, tables[one.name].values())))
        for one in switch.bridges if one.name in tables
    )  # fmt: skip
    return Bundle(host, bridges, "", (), ())


def _port(port: PortSeen) -> BundlePort:
    interfaces = tuple(
        BundleInterface(
            one.name, one.ofport or None, one.type, {"peer": one.peer} if one.peer else _tunnel(one.remote_ip)
        )
        for one in port.interfaces
    )
    return BundlePort(port.name, interfaces, port.tag, port.trunks)


def _tunnel(remote_ip: str) -> dict[str, str]:
    return {"remote_ip": remote_ip, "key": "flow"} if remote_ip else {}


def _tried(run: FlowWhatIf, bundle: Bundle) -> Tried:
    """The copy before and after. Raises WhatIfProblem in Open vSwitch's words where it does not take the flow."""
    with BundleShadow(bundle) as loaded:
        mgmt = loaded.rundir / f"{run.bridge}.mgmt"
        before, first = _dumped(mgmt), _followed(loaded, run)
        try:
            loaded.change_flows(run.bridge, f"{VERBS[run.action]} {run.flow}")
        except ShadowError as problem:
            raise WhatIfProblem(f"Open vSwitch does not take this flow: {_ovs_words(str(problem))}") from problem
        after = _dumped(mgmt)
        diff = diff_tables(before, after)
        if not (diff.added or diff.removed or diff.changed):
            raise WhatIfProblem(_nothing(run))
        findings = tuple(words for words in loaded.problems if LEFT_OUT in words)
        return Tried(diff, first, _followed(loaded, run), findings)


def _nothing(run: FlowWhatIf) -> str:
    if run.action == FlowWhatIf.Action.ADD:
        return f"{run.bridge} has exactly this flow already."
    return f"No flow of {run.bridge} has this table, priority and match, or it has these actions already."


def _ovs_words(text: str) -> str:
    found = OVS_WORDS.search(text)
    return found[1].strip() if found else text.strip().splitlines()[-1][-300:]


def _dumped(mgmt: Path) -> Table:
    async def dump() -> Table:
        channel = await open_channel(str(mgmt))
        try:
            return {flow.key: flow for flow in await channel.dump_flows()}
        finally:
            channel.close("read")

    try:
        return asyncio.run(dump())
    except (ChannelError, OSError) as problem:
        raise ShadowError(f"the copy could not be read: {problem}") from problem


def _followed(loaded: BundleShadow, run: FlowWhatIf) -> dict[str, Any] | None:
    if not run.packet:
        return None
    try:
        return to_json(trace_bundle(loaded, run.bridge, run.packet, ()))
    except FlowProblem as problem:
        raise WhatIfProblem(f"The packet cannot be followed: {problem}") from problem


def _lines(diff: FlowDiff) -> Iterator[tuple[str, str, bool]]:
    """Sign, flow, and whether it is ours: - removed, ~ given other actions, + added."""
    for flow in diff.removed:
        yield "-", flow_line(flow), not is_foreign(flow)
    for was, flow in diff.changed:
        yield "~", flow_line(flow), not is_foreign(was)
    for flow in diff.added:
        yield "+", flow_line(flow), not is_foreign(flow)


def _fate(run: FlowWhatIf, diff: FlowDiff) -> dict[str, str]:
    """What would become of the change on the host, in words, and the command for doing it by hand."""
    stays = [*diff.removed, *(was for was, _ in diff.changed)]
    fate = (
        f"{run.bridge} is not Hopsight’s: it stays as it is unless you apply this here, or by hand on {run.host.name}."
    )
    if run.bridge == OURS:
        fate = f"Hopsight leaves foreign flows as they are, and makes none: by hand on {run.host.name}."
        if any(not is_foreign(flow) for flow in stays):
            fate = f"This flow is Hopsight’s: its controller would put it back at its next look at {run.host.name}, so there is nothing to apply. Change what it is for instead."  # fmt: skip
        elif any(not is_foreign(flow) for flow in diff.added):
            fate = "The cookie has Hopsight’s mark, and nothing explains the flow: the controller would take it away at its next look."  # fmt: skip
    verb = {"add": "add-flow", "edit": "--strict mod-flows", "remove": "--strict del-flows"}[run.action]
    quoted = run.flow.replace("'", "'\\''")
    return {"fate": fate, "command": f"ovs-ofctl -O OpenFlow14 --bundle {verb} {run.bridge} '{quoted}'"}


def _pairs(run: FlowWhatIf, switch: SwitchSeen, table: Table, diff: FlowDiff) -> dict[str, Any]:
    """Every pair of VMs with an end on the host whose verdict changes."""
    nothing = {"changed": [], "changed_count": 0, "services": [], "pairs": 0}
    if run.bridge != OURS:
        return {
            **nothing,
            "unasked": f"VMs are plugged into {OURS}: how they reach each other does not go by {run.bridge}.",
        }
    snapshot, views = read_intent()
    host = run.host.name
    here = next(bridge for bridge in switch.bridges if bridge.name == OURS)
    views = tuple(_as_seen(view, here) if view.host == host else view for view in views)
    names, on_host = _vm_ports({port.id for port in snapshot.ports}, host)
    ids = [*on_host, *(port for port in names if port not in on_host)]
    asked = ids[:PORTS_ASKED]
    services = _services(decode_flow(delta.flow) for delta in deltas_of(diff))
    edited = dict(table)
    for delta in deltas_of(diff):
        edited.pop(delta.flow.key, None)
        edited |= {} if delta.is_gone else {delta.flow.key: delta.flow}
    try:
        with desk.held() as held:
            before = held.stage(snapshot, views, given={host: _unlimited(table)})
            after = held.stage(snapshot, views, EDITED, given={host: _unlimited(edited)})
            sides = (before.scene, before.world), (after.scene, after.world)
            found = [differing(*sides, service, asked, on_host, PAIRS_KEPT) for service in services]
    except ShadowError as problem:
        return {**nothing, "unasked": f"Who reaches whom could not be asked: {_ovs_words(str(problem))}"}
    changed = [pair for one in found for pair in one.first][:PAIRS_KEPT]
    return {
        "changed": [_as_json(one, names) for one in changed], "changed_count": sum(one.count for one in found),
        "services": [str(service) for service in services], "pairs": sum(one.pairs for one in found),
        "unasked": _cut(len(ids), host),
    }  # fmt: skip


def _cut(ports: int, host: str) -> str:
    """Which ports were not asked for, and why; "" where all were."""
    if ports <= PORTS_ASKED:
        return ""
    return f"Asked for {PORTS_ASKED} of {ports} VMs’ ports, those on {host} first: more takes longer than the 3 s that anybody waits."


def _vm_ports(known: set[int], host: str) -> tuple[dict[int, str], set[int]]:
    """Port id → its VM's name, with the team's where two have one; and which are on the host."""
    rows = list(Port.objects.filter(vm__isnull=False, pk__in=known).select_related("vm__team", "host").order_by("id"))
    plain = [row.vm.name for row in rows if row.vm]
    names = {row.pk: row.vm.name if plain.count(row.vm.name) == 1 else f"{row.vm.name} ({row.vm.team.name})" for row in rows if row.vm}  # fmt: skip
    return names, {row.pk for row in rows if row.host and row.host.name == host}


def _as_seen(view: HostView, bridge: BridgeSeen) -> HostView:
    """The host with its tunnels' and cable's own numbers, which its recorded flows name."""
    numbers = {one.name: one.ofport or None for port in bridge.ports for one in port.interfaces}
    return replace(
        view, tunnel_ofport=numbers.get(TUNNEL), external_ofport=numbers.get(CABLE), geneve_ofport=numbers.get(GENEVE)
    )


def _unlimited(table: Table) -> tuple[Flow, ...]:
    """The flows without their meters, which the shadow has none of: how many packets pass decides no verdict."""
    flows = map(decode_flow, table.values())
    return tuple(
        flow._replace(actions=tuple(action for action in flow.actions if not action.startswith("meter:")))
        for flow in flows
    )


def _services(flows: Iterable[Flow]) -> tuple[Service, ...]:
    """What the pairs are asked for: what the flows match, or what is usual where they match anything."""
    found: dict[Service, None] = {}
    for flow in flows:
        match = dict(flow.key.match)
        protocol = next((PROTOCOLS[word] for word in match if word in PROTOCOLS), None)
        port = match.get("tp_dst") or match.get(f"{protocol}_dst") or ""
        number = int(port) if port.isdigit() else USUAL_PORT
        if protocol is None:
            found |= dict.fromkeys(USUAL)
        else:
            found[Service(protocol, 0 if protocol == "icmp" else number)] = None
    return tuple(found)


def _as_json(one: Changed, names: Mapping[int, str]) -> dict[str, str]:
    return {
        "service": str(one.service), "source": names[one.source], "target": names[one.target],
        "before": one.before.verdict, "after": one.after.verdict, "reason": one.after.reason,
    }  # fmt: skip
