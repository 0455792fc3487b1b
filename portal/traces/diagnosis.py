""" "Why can't I reach it?": what is looked at, in the order in which it would be in the way, and the one sentence at its end.

A diagnosis asks up to three traces by itself (from outside, from where people log in, from a VM beside it). The rest (is
the VM on, has it an address, is it plugged in, does a floating address stand for it) is read from rows when it is shown,
so what was mended meanwhile shows. The first look that is bad decides, and names the one change that would mend it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.urls import reverse

from portal.accounts.models import Team, User
from portal.compute.models import VMState
from portal.live.publishers import diagnosis_changed
from portal.networks.models import FloatingAddress, Port, PortKind
from portal.networks.owners import owner_of
from portal.traces.models import Diagnosis, TraceRequest
from portal.traces.offers import what_if_of
from portal.traces.outside import floating_of
from portal.traces.presentation import contradiction_of, narrow_of, read_trace
from portal.traces.requests import TraceProblem, TraceSpec, check_trace, create_trace, ports_of

KEPT = 30
GOOD, BAD, WAITING, UNKNOWN, NOTE = "good", "bad", "waiting", "unknown", "note"
TITLES = {
    "power": "Is it on?",
    "address": "Has it an address?",
    "plugged": "Is its NIC in the switch?",
    "floating": "Can outside find it?",
    "outside": "From outside",
    "access": "From where you log in",
    "beside": "From a VM beside it",
}
TRACED = ("outside", "access", "beside")
NOT_ON = {
    VMState.STOPPED: "is shut down: nothing answers",
    VMState.CRASHED: "has crashed: nothing answers",
    VMState.PAUSED: "is suspended: its guest does not run, so nothing answers",
    VMState.DELETED: "is deleted",
}


@dataclass(frozen=True, slots=True)
class Fix:
    """One change that would mend it. `kind` is start, resume, floating or rule; `rule` holds a rule's form fields."""

    kind: str
    words: str
    rule: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at. `url` leads to the whole trace, where it is one."""

    key: str
    state: str
    words: str
    url: str = ""
    fix: Fix | None = None

    @property
    def title(self) -> str:
        return TITLES[self.key]


@dataclass(frozen=True, slots=True)
class Answer:
    """Every look, and what they come to: one sentence, and the change that would mend it, if one is known."""

    looks: tuple[Look, ...]
    state: str
    sentence: str
    advice: str = ""
    fix: Fix | None = None


@transaction.atomic
def ask_why(port: Port, user: User, service: tuple[str, int] = ("tcp", 22), source_address: str = "") -> Diagnosis:
    """The diagnosis with its traces ordered; the team's oldest ones go. `source_address` is the asker's, where outside
    packets can come from it. Raises TraceProblem for a service that cannot be asked for."""
    team = owner_of(port)
    specs = _specs(team, port, service, source_address)
    probe = TraceSpec(None, port, service[0], service[1], outside=None)
    if wrong := {name: lines for name, lines in check_trace(team, probe).items() if name in ("protocol", "port_dst")}:
        raise TraceProblem(wrong)
    asked = Diagnosis.objects.create(team=team, port=port, created_by=user, protocol=service[0], port_dst=service[1])
    for key, spec in specs:
        if not check_trace(team, spec):
            create_trace(team, user, spec, (asked, key))
    old = list(Diagnosis.objects.filter(team=team).values_list("pk", flat=True)[KEPT:])
    Diagnosis.objects.filter(pk__in=old).delete()
    diagnosis_changed(asked)
    return asked


def _specs(team: Team, port: Port, service: tuple[str, int], source_address: str) -> list[tuple[str, TraceSpec]]:
    found = []
    if floating := floating_of(port):
        network = floating.address.network
        spec = TraceSpec(None, port, *service, address=floating.address.address, moment="first", outside=network)
        found.append(("outside", _from(spec, source_address if floating.family == 4 else "")))
    others = list(ports_of(team).filter(network=port.network).exclude(pk=port.pk)[:200])
    ranked = sorted(others, key=lambda one: (one.ofport is None, one.pk))
    for key, kinds in (("access", (PortKind.ACCESS,)), ("beside", (PortKind.VM,))):
        if source := next((one for one in ranked if one.kind in kinds), None):
            found.append((key, TraceSpec(source, port, *service, moment="first")))
    return found


def _from(spec: TraceSpec, source_address: str) -> TraceSpec:
    return TraceSpec(**{name: getattr(spec, name) for name in TraceSpec.__slots__} | {"source_address": source_address})


def answer_of(asked: Diagnosis) -> Answer:
    """What was found, as of now."""
    port = asked.port
    floating = floating_of(port)
    looks = [look for make in (_power, _address, _plugged) if (look := make(port)) is not None]
    traces = {trace.asks: trace for trace in asked.traces.select_related("source", "target", "outside")}
    looks.append(_floating(port, floating))
    looks += [_traced(key, traces[key], asked) for key in TRACED if key in traces]
    return _concluded(asked, tuple(looks))


def _power(port: Port) -> Look | None:
    if port.vm is None:
        return None
    state = port.vm.state
    if state == VMState.RUNNING:
        return Look("power", GOOD, f"{port.vm.name} is running.")
    words = f"{port.vm.name} {NOT_ON.get(VMState(state), f'is {state} now')}."
    fix = {
        VMState.STOPPED: Fix("start", f"Start {port.vm.name}"), VMState.CRASHED: Fix("start", f"Start {port.vm.name}"),
        VMState.PAUSED: Fix("resume", f"Resume {port.vm.name}"),
    }.get(VMState(state))  # fmt: skip
    return Look("power", BAD if state in NOT_ON else UNKNOWN, words, fix=fix)


def _address(port: Port) -> Look:
    addresses = [row.address for row in port.addresses.all()]
    if addresses:
        return Look("address", GOOD, f"It has {', '.join(addresses)} on {port.network.name}.")
    return Look("address", BAD, f"{port.name} has no address on {port.network.name}: nothing can be sent to it.")


def _plugged(port: Port) -> Look:
    if port.ofport is None or port.host is None:
        return Look("plugged", BAD, f"{port.name}'s NIC is plugged into no switch now.")
    return Look("plugged", GOOD, f"{port.tap or 'It'} is port {port.ofport} of br-int on {port.host.name}.")


def _floating(port: Port, floating: FloatingAddress | None) -> Look:
    if floating is not None and floating.fixed is not None:
        return Look("floating", GOOD, f"{floating} of {floating.address.network} stands for {floating.fixed.address}.")
    fix = Fix("floating", f"Give {port.name} a floating address")
    return Look("floating", NOTE, f"No floating address stands for {port.name}: it is reached from its own networks alone.", fix=fix)  # fmt: skip


def _traced(key: str, row: TraceRequest, asked: Diagnosis) -> Look:
    url = reverse("trace", args=[row.uuid])
    where = f"{row.source_name}, {asked.service}"
    trace = read_trace(row.result)
    if trace is None:
        words = f"{where}: {row.error}" if row.state == TraceRequest.State.FAILED else f"{where}: being followed"
        return Look(key, UNKNOWN if row.state == TraceRequest.State.FAILED else WAITING, words, url)
    back = read_trace(row.reply)
    if trace.verdict == "delivered" and back is not None and back.verdict == "dropped":
        return Look(key, BAD, f"{where}: it arrives, but the answer does not come back: {back.reason}", url)
    if (real := contradiction_of(row, trace)) is not None:
        return Look(
            key, BAD, f"{where}: the flows let it through, but a real packet did not arrive: {real.reason}", url
        )
    if trace.verdict == "delivered" and (narrow := narrow_of(row)) is not None:
        return Look(key, BAD, f"{where}: small packets arrive, large ones do not: {narrow.findings[-1]}", url)
    if trace.verdict == "delivered":
        return Look(key, GOOD, f"{where}: arrives", url)
    fix = _rule_fix(row) if trace.verdict == "dropped" else None
    return Look(key, BAD if trace.verdict == "dropped" else UNKNOWN, f"{where}: {trace.reason}", url, fix)


def _rule_fix(row: TraceRequest) -> Fix | None:
    """The rule that would let it in, where it was the rules that did not."""
    trace = read_trace(row.result)
    if trace is None or "_rules)" not in trace.reason:
        return None
    rule = what_if_of(row, trace, "forward")
    if rule is None:
        return None
    words = f"Allow {row.protocol}{f'/{row.port_dst}' if row.port_dst else ''} from {rule['cidr'] or 'anywhere'} in group {rule['group']}"
    kept = ("group", "direction", "family", "protocol", "ports", "cidr")
    return Fix("rule", words, {name: str(rule[name]) for name in kept})


FIRST: tuple[str, ...] = ("power", "address", "plugged", *TRACED)


def _concluded(asked: Diagnosis, looks: tuple[Look, ...]) -> Answer:
    by_key = {look.key: look for look in looks}
    bad = next((by_key[key] for key in FIRST if key in by_key and by_key[key].state == BAD), None)
    if bad is not None and bad.key not in TRACED:
        return Answer(looks, BAD, bad.words, "" if bad.fix else _advice(bad, asked), bad.fix)
    if any(look.state == WAITING for look in looks):
        return Answer(looks, WAITING, "Following packets to it…")
    if bad is not None:
        return Answer(looks, BAD, _sentence(bad, asked), _advice(bad, asked), bad.fix)
    came = [TITLES[look.key].lower() for look in looks if look.key in TRACED and look.state == GOOD]
    if not came and (unknown := next((look for look in looks if look.state == UNKNOWN), None)):
        return Answer(looks, UNKNOWN, f"It cannot be told: {unknown.words}")
    if not came:
        return Answer(looks, UNKNOWN, f"Nobody is there to ask from: {asked.port.name} is alone on {asked.port.network.name}.", fix=by_key["floating"].fix)  # fmt: skip
    return _arrives(asked, looks, came, by_key["floating"].fix)


def _arrives(asked: Diagnosis, looks: tuple[Look, ...], came: list[str], fix: Fix | None) -> Answer:
    sentence = f"The network is not in the way: {asked.service} arrives at {asked.port.name} {' and '.join(came)}."
    advice = "If it still does not answer, look inside the guest: is the service up, does its own firewall let it in?"
    if asked.service == "tcp/22" and asked.port.vm is not None and asked.port.vm.is_keyless:
        advice = "No SSH key was put in: SSH lets in only whom the image knows already. A rebuild can put one in."
    if fix is not None:
        advice += " From outside nothing reaches it, as no floating address stands for it."
    return Answer(looks, GOOD, sentence, advice, fix)


def _sentence(bad: Look, asked: Diagnosis) -> str:
    reason = bad.words.partition(": ")[2] or bad.words
    return f"{TITLES[bad.key]}, {asked.service} does not reach {asked.port.name}: {reason[:1].lower()}{reason[1:]}"


def _advice(bad: Look, asked: Diagnosis) -> str:
    if bad.key == "plugged":
        return "It is plugged in when it starts: start it, or restart it if it is running."
    if bad.key not in TRACED:
        return ""
    row = asked.traces.filter(asks=bad.key).first()
    trace = read_trace(row.result) if row else None
    real = (contradiction_of(row, trace) or narrow_of(row)) if row else None
    return real.suggestion if real else trace.suggestion if trace else ""
