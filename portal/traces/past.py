"""Traces from and to an adopted VM's NIC that no port of Open vSwitch stands for: they end at the NIC, with the words for it.

Rows tell all that is known of such a NIC, so no host is asked: the answer is stored with the question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.compute.foreign import ForeignNic
from portal.compute.models import VM
from portal.networks.models import Port
from portal.traces.packets import KINDS
from sdn.model.addresses import Mac
from sdn.model.asked import Asked
from sdn.model.device import chain_past
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.trace.fields import frame_bytes, packet_fields
from sdn.trace.past import predict_past
from sdn.trace.question import Endpoint, Question

if TYPE_CHECKING:
    from portal.traces.requests import TraceSpec

NIC = "nic:"  # before the MAC of a sender that is such a NIC
MOST_LISTED = 200
# In English, as all of a stored trace is.
ADVICE = "Give the address that %(vm)s has as the target: the packet is then followed to where it leaves Open vSwitch."
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NOBODY, _NO_MAC = ip_address("0.0.0.0"), "00:00:00:00:00:00"
_UNKNOWN = (str(_NOBODY), "::", _NO_MAC)


@dataclass(frozen=True, slots=True)
class PastEnd:
    """A NIC past Open vSwitch, and whose it is."""

    vm: VM
    nic: ForeignNic

    @property
    def name(self) -> str:
        return self.vm.name

    @property
    def endpoint(self) -> Endpoint:
        """The NIC as an end of a trace: plugged into no switch."""
        host = self.vm.host.name if self.vm.host else ""
        return Endpoint(
            self.vm.name, "NIC", self.nic.mac, _NOBODY, host, "", None, self.nic.model, "", self.vm.domain,
            chain=chain_past(self.nic.past, self.nic.model),
        )  # fmt: skip


def past_ends(team: Team) -> list[PastEnd]:
    """Every such NIC of the team's adopted VMs, by VM."""
    vms = VM.objects.filter(team=team).exclude(adopted={}).select_related("host").order_by("name")[:MOST_LISTED]
    return [PastEnd(vm, nic) for vm in vms for nic in vm.foreign_nics]


def past_end(team: Team, text: str) -> PastEnd | None:
    """The NIC that the text names: by its MAC, or by the VM that has no port, whose first one it is then."""
    given = text.strip().removeprefix(NIC).lower()
    ends = past_ends(team) if given else []
    if _MAC.fullmatch(given):
        return next((end for end in ends if end.nic.mac == given), None)
    named = [end for end in ends if end.name == given]
    return named[0] if named and not Port.objects.filter(vm=named[0].vm).exists() else None


def unknown_nic(team: Team, text: str) -> str:
    """That no such NIC was named, and which there are."""
    known = ", ".join(f"{end.nic.mac} ({end.name})" for end in past_ends(team)[:6] if end.nic.mac) or gettext("none")
    return gettext("%(given)s was given; NICs of %(team)s past Open vSwitch are %(known)s") % {
        "given": f"{text[:60]!r}", "team": team.name, "known": known,
    }  # fmt: skip


def answer_past(spec: TraceSpec, trace_id: str) -> Trace:
    """The trace of a question that has such an end."""
    source = spec.past.endpoint if spec.past else _end_of(spec.source)
    target = spec.past_target.endpoint if spec.past_target else _end_of(spec.target) if spec.target else None
    now = timezone.now().isoformat()
    to = ip_address(spec.address) if spec.address else target.address if target else _NOBODY
    own = source.address if source.address.version == to.version else ip_address("::" if to.version == 6 else "0.0.0.0")
    packet = Packet(
        KINDS[spec.protocol].wire, Mac(source.mac or _NO_MAC), Mac(target.mac if target and target.mac else _NO_MAC),
        own, to, port_dst=spec.port_dst, size_bytes=frame_bytes(spec.size_bytes),
    )  # fmt: skip
    question = Question(trace_id, source, target, packet, (), 0, now)
    advice = ""
    if spec.past is None and spec.past_target is not None:
        advice = ADVICE % {"vm": spec.past_target.name}
    trace = predict_past(question, _known(packet_fields(packet)), advice)
    return replace(trace, question=_asked(spec, now))


def _known(fields: dict[str, str]) -> dict[str, str]:
    """The packet without what nobody here knows of it: a NIC past Open vSwitch has no address in our rows."""
    return {name: value for name, value in fields.items() if value not in _UNKNOWN and (name, value) != ("tp_src", "0")}


def _asked(spec: TraceSpec, now: str) -> Asked:
    sender, receiver = spec.past or spec.source, spec.past_target or spec.target
    to = spec.past_target.nic.mac or spec.past_target.name if spec.past_target else spec.address
    return Asked(
        source=str(spec.source.uuid) if spec.source else None,
        nic=spec.past.nic.mac or spec.past.name if spec.past else "",
        target=to or (str(spec.target.uuid) if spec.target else ""),
        protocol=spec.protocol,
        port_dst=spec.port_dst,
        moment=spec.moment,
        size_bytes=spec.size_bytes,
        source_name=sender.name if sender else "",
        target_name=receiver.name if receiver else spec.address,
        asked_at=now,
    )


def _end_of(port: Port | None) -> Endpoint:
    """A port's end as far as words need it; nothing of its way is asked here."""
    if port is None:
        return Endpoint("", "", "", _NOBODY, "", "", None, "", "", "-")
    own = next((ip_address(row.address) for row in port.addresses.all()), _NOBODY)
    host = port.host.name if port.host else ""
    return Endpoint(port.name, "eth0", port.mac, own, host, port.tap, port.ofport, port.nic_model, port.backend, "-")
