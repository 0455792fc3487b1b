"""A stored trace as its page shows it: numbered steps for the list, JSON for the island."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import orjson
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.bundles.models import BundleTrace
from portal.config.told import told_value
from portal.hosts.models import Host
from portal.traces.models import PortTrace, TraceRequest
from portal.traces.packets import KINDS
from portal.traces.question import asked_of
from sdn.model.asked import asked_from_json
from sdn.model.trace import Hop, Step, Trace, from_json
from sdn.trace.asked import asked_words

PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))  # RFC 1918, RFC 4193
VERDICT_WORDS = {
    "delivered": _("Delivered"),
    "dropped": _("Dropped"),
    "flooded": _("Flooded"),
    "to_controller": _("Sent to the controller"),
    "unknown": _("Unknown"),
}


def verdict_words(verdict: str) -> str:
    """A verdict in the page's language."""
    return gettext(VERDICT_WORDS[verdict])


@dataclass(frozen=True, slots=True)
class Row:
    """One numbered line of the list: a hop without look-ups, or one step of a hop."""

    number: int
    hop: Hop
    step: Step | None
    counter: str

    @property
    def cookie(self) -> str:
        return f"{self.step.cookie:#018x}" if self.step and self.step.cookie is not None else ""


def read_trace(value: dict[str, Any] | None) -> Trace | None:
    """The trace of a stored result; None where there is none, or it was written by another version."""
    if not value:
        return None
    try:
        return from_json(value)
    except (KeyError, TypeError, ValueError):
        return None


def followed_packet(row: PortTrace | BundleTrace) -> dict[str, Any]:
    """What the page of a packet that was given as a flow shows: of a live host's port, or in a bundle."""
    trace = read_trace(told_value(row.result))
    return {
        "row": row, "trace": trace, "rows": rows_of(trace) if trace else [],
        "verdict": verdict_words(trace.verdict) if trace else "",
    }  # fmt: skip


def followed_before(rows: Iterable[PortTrace | BundleTrace]) -> list[tuple[PortTrace | BundleTrace, str, str]]:
    """The packets that were followed before, each with its verdict and why."""
    told = [(row, row.result or {}) for row in rows]
    return [(row, result.get("verdict", ""), result.get("reason", row.error)) for row, result in told]


def rows_of(trace: Trace) -> list[Row]:
    """The numbered places in the order the packet meets them; the page's island numbers them alike."""
    rows: list[Row] = []
    for hop in trace.hops:
        for step in hop.steps or (None,):
            counter = f"{hop.host}|{step.flow_key}" if step and step.flow_key else ""
            rows.append(Row(len(rows) + 1, hop, step, counter))
    return rows


def addresses_of(packet: dict[str, str]) -> tuple[str, str]:
    """The addresses that the packet goes from and to, of whichever family it is; "" where it has none."""
    sources, targets = ("nw_src", "ipv6_src", "arp_spa"), ("nw_dst", "ipv6_dst", "arp_tpa")
    source, target = (next((packet[name] for name in names if name in packet), "") for names in (sources, targets))
    return source, target


def with_cookie_text(value: dict[str, Any]) -> dict[str, Any]:
    """JavaScript's numbers hold 53 bits of a cookie's 64: the page gets it as text too."""
    hops = [{**hop, "steps": [_step_with_text(step) for step in hop["steps"]]} for hop in value["hops"]]
    cause = value.get("cause")
    near = [{**one, "step": _step_with_text(one["step"])} for one in value.get("nearest", ())]
    return {**value, "hops": hops, "cause": _step_with_text(cause) if cause else None, "nearest": near}


def _step_with_text(step: dict[str, Any]) -> dict[str, Any]:
    cookie = step.get("cookie")
    return {**step, "cookie": None, "cookie_text": "" if cookie is None else f"{cookie:#018x}"}


def island_data(request_row: TraceRequest, value: dict[str, Any] | None, direction: str) -> dict[str, Any]:
    """All that the island needs: the trace of one direction, the hosts' underlay addresses, the end points."""
    ends = (request_row.source, request_row.target)
    source, target = ends if direction == "forward" else ends[::-1]
    names = _names_of(request_row, direction)
    return {
        "uuid": str(request_row.uuid),
        "state": request_row.state,
        "trace": with_cookie_text(value) if value and read_trace(value) else None,
        "hosts": {host.name: host.underlay_ip for host in Host.objects.only("name", "underlay_ip")},
        "source": _end(source, names[0]),
        "target": _end(target, names[1]),
        "probing": direction == "forward" and _is_of_now(request_row),
        "observable": _is_observable(request_row),
        "probe": told_value(probe_data(request_row)) if direction == "forward" else None,
    }


def _names_of(row: TraceRequest, direction: str) -> tuple[str, str]:
    """What the ends are called that are no ports: as the row knows them, or the answer's own question."""
    asked = asked_from_json((row.result or {}).get("question"))
    is_past = asked is not None and (asked.nic or not (row.target_id or row.address))
    if is_past and asked is not None:
        return (
            (asked.source_name, asked.target_name) if direction == "forward" else (asked.target_name, asked.source_name)
        )
    return row.source_name if row.outside or row.router else row.address, row.address


def _is_of_now(row: TraceRequest) -> bool:
    """May a real packet be sent beside it: now, from a port to somewhere, as its guest would?"""
    is_between = row.source_id is not None and (row.target_id is not None or row.address != "")
    return is_between and row.outside_id is None and row.router_id is None and row.at is None and not row.header_fields


def _is_observable(row: TraceRequest) -> bool:
    """Is real traffic looked for (tasks.observe_watch): from a port on, towards something that has an address?"""
    return row.source_id is not None and (row.target_id is not None or row.address != "")


def probe_data(request_row: TraceRequest) -> dict[str, Any] | None:
    """What a real packet did, as the page reads it; None while nothing is known."""
    probe: dict[str, Any] | None = request_row.probe
    if not probe or "refused" in probe:
        return probe
    if read_trace(probe["trace"]) is None:
        return None
    return {**probe, "trace": with_cookie_text(probe["trace"])}


def asked_line(row: TraceRequest) -> str:
    """The question in one line, with the addresses that its packet has."""
    return asked_words(asked_of(row), _packet_there(row))


def question_json(row: TraceRequest) -> dict[str, Any]:
    """The question as the API tells it: what asks it again, and its line."""
    asked = asked_of(row)
    return {**asdict(asked), "words": asked_words(asked, _packet_there(row))}


def _packet_there(row: TraceRequest) -> dict[str, str]:
    packet: dict[str, str] = (row.result or {}).get("packet", {})
    return packet


@dataclass(frozen=True, slots=True)
class AnswerTexts:
    """Both directions of a trace as JSON."""

    result: str
    reply: str

    @staticmethod
    def of(result: Any, reply: Any) -> AnswerTexts:
        """Those of stored or to be stored values."""
        return AnswerTexts(_json(result), _json(reply))


def _json(value: Any) -> str:
    """As `json.dumps`, in a sixth of the time: both directions are 60 kB, and somebody waits for them."""
    return orjson.dumps(value).decode()


def answer_text(row: TraceRequest, texts: AnswerTexts | None = None) -> str:
    """The API's TraceOut, written at once: a trace is made of some thousand small values that need no second check.

    `texts` are the row's result and reply, where they are written already.
    """
    texts = texts or AnswerTexts.of(row.result, row.reply)
    named = {"uuid": str(row.uuid), "title": row.title, "state": row.state, "question": question_json(row)}
    head = _json(named)
    tail = _json({"probe": probe_data(row), "error": row.error})
    return f'{head[:-1]},"result":{texts.result},"reply":{texts.reply},{tail[1:]}'


KNOWN = "a known connection"  # sdn.trace.hops


def contradiction_of(row: TraceRequest, shown: Trace | None) -> Trace | None:
    """What a real packet did that was foreseen to arrive and did not; None where it did, or nobody knows. The packet begins a
    connection of its own, so what rules do to it says nothing about one that is known."""
    if shown is None or shown.verdict != "delivered" or not row.probe or "trace" not in row.probe:
        return None
    real = read_trace(row.probe["trace"])
    is_known = any(step.note == KNOWN for hop in shown.hops for step in hop.steps)
    ends = ("unknown",) if is_known or row.moment == "established" else ("unknown", "dropped")
    return real if real is not None and real.verdict in ends else None


def narrow_of(row: TraceRequest) -> Trace | None:
    """What a real packet did that arrived, while the largest that its guest may send was lost; None where nothing says so."""
    real = read_trace(row.probe["trace"]) if row.probe and "trace" in row.probe else None
    return real if real is not None and real.verdict == "delivered" and real.suggestion and real.findings else None


def conclusion_of(row: TraceRequest, shown: Trace | None, other: Trace | None, direction: str) -> str:
    """What to do, in one sentence: the trace's own suggestion, or that the network is not in the way."""
    if shown is None:
        return ""
    if shown.suggestion:
        return shown.suggestion
    if direction == "forward" and (real := contradiction_of(row, shown)) is not None:
        return real.suggestion or f"The flows let it through, but a real packet did not get there: {real.reason}"
    if shown.verdict == "delivered" and direction == "forward" and _is_meant_for_here(row, shown):
        return (
            f"{row.address} is a private address that no network here has, so it was sent outside: is it the right one?"
        )
    if (
        shown.verdict != "delivered"
        or direction != "forward"
        or row.target is None
        or not KINDS[row.protocol].has_answer
    ):
        return ""
    service = f"{row.protocol}/{row.port_dst}" if row.port_dst else row.protocol
    if other is not None and other.verdict == "dropped":
        return f"It arrives, but the answer does not come back: {other.reason}"
    if (narrow := narrow_of(row)) is not None:
        return f"{narrow.findings[-1]} {narrow.suggestion}"
    return (
        f"The network is not in the way: {service} arrives at {row.target.name} and answers come back. If it still does "
        "not answer, look inside the guest: is the service up, does its own firewall let it in?"
    )


def _is_meant_for_here(row: TraceRequest, shown: Trace) -> bool:
    """Did a packet go outside to an address that nobody outside routes? One mistyped, most likely."""
    if row.target is not None or not row.address or f", towards {row.address}." not in shown.reason:
        return False
    address = ip_address(row.address)
    return any(address in net for net in PRIVATE if net.version == address.version)


def _end(port: Any, address: str = "") -> dict[str, str]:
    if port is None:
        return {"name": address or gettext("a VM that is gone"), "host": ""}
    return {"name": port.name, "host": port.host.name if port.host else ""}
