"""The form that asks for a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from portal.accounts.models import Team
from portal.networks.models import Port
from portal.traces.instants import read_instant
from portal.traces.packets import KINDS
from portal.traces.requests import DEFAULT_SIZE, MOMENTS, TraceSpec, check_trace, find_target, ports_of

if TYPE_CHECKING:
    PortField = forms.ModelChoiceField[Port]
else:
    PortField = forms.ModelChoiceField

__all__ = ["TraceForm", "ports_of"]


class PortChoice(PortField):
    """VMs by name, with the address that the trace is about."""

    def label_from_instance(self, obj: Port) -> str:
        addresses = ", ".join(fixed.address for fixed in obj.addresses.all())
        return f"{obj.name} · {addresses or 'no address'} · {obj.network.name}"


class TraceForm(forms.Form):
    source = PortChoice(label="From", queryset=Port.objects.none(), to_field_name="uuid", empty_label="Choose a VM")
    target = forms.CharField(label="To", required=False, max_length=200, widget=forms.TextInput(attrs={"list": "targets", "placeholder": "VM or IP address", "autocomplete": "off", "spellcheck": "false"}))  # fmt: skip
    protocol = forms.ChoiceField(
        label="Packet", choices=[(name, kind.label) for name, kind in KINDS.items()], initial="icmp"
    )
    port_dst = forms.IntegerField(label="Port of TCP, UDP or SCTP", required=False, initial=22)
    moment = forms.ChoiceField(label="Which packet", choices=MOMENTS, required=False, initial="as_is")
    size_bytes = forms.IntegerField(label="Size, bytes of IP", required=False, initial=DEFAULT_SIZE)
    at = forms.CharField(label="As of (UTC, empty: now)", required=False, max_length=40, widget=forms.TextInput(attrs={"placeholder": "now, or 2026-11-26 03:10", "autocomplete": "off", "spellcheck": "false"}))  # fmt: skip

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        self.spec = TraceSpec(None, None)
        source = self.fields["source"]
        assert isinstance(source, PortChoice)
        source.queryset = ports_of(team)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        target, address, problem = find_target(self.team, cleaned["source"], cleaned["target"], cleaned["protocol"])
        if problem:
            self.add_error("target", problem)
            return cleaned
        at, problem = read_instant(cleaned.get("at", ""))
        if problem:
            self.add_error("at", problem)
        self.spec = TraceSpec(
            at=at,
            source=cleaned["source"],
            target=target,
            protocol=cleaned["protocol"],
            port_dst=cleaned.get("port_dst") or 0,
            address=address,
            moment=cleaned.get("moment") or "as_is",
            size_bytes=cleaned.get("size_bytes") or DEFAULT_SIZE,
        )
        for name, lines in check_trace(self.team, self.spec).items():
            for line in lines:
                self.add_error(name, line)
        return cleaned
