"""The form that asks for a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import QuerySet

from portal.accounts.models import Team
from portal.networks.models import Port, PortKind
from portal.traces.requests import PROTOCOLS, check_trace

if TYPE_CHECKING:
    PortField = forms.ModelChoiceField[Port]
else:
    PortField = forms.ModelChoiceField


class PortChoice(PortField):
    """VMs by name, with the address that the trace is about."""

    def label_from_instance(self, obj: Port) -> str:
        addresses = ", ".join(fixed.address for fixed in obj.addresses.all())
        return f"{obj.name} · {addresses or 'no address'} · {obj.network.name}"


def ports_of(team: Team) -> QuerySet[Port]:
    """The VM ports of a team that a trace may start or end at."""
    ports = Port.objects.filter(network__team=team, kind=PortKind.VM, vm__isnull=False)
    return ports.select_related("network", "vm", "host").prefetch_related("addresses").order_by("name", "id")


class TraceForm(forms.Form):
    source = PortChoice(queryset=Port.objects.none(), to_field_name="uuid", empty_label="Choose a VM")
    target = PortChoice(queryset=Port.objects.none(), to_field_name="uuid", empty_label="Choose a VM")
    protocol = forms.ChoiceField(choices=[(name, name.upper()) for name in PROTOCOLS], initial="icmp")
    port_dst = forms.IntegerField(label="Port", required=False, initial=22)

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        for name in ("source", "target"):
            field = self.fields[name]
            assert isinstance(field, PortChoice)
            field.queryset = ports_of(team)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        port_dst = cleaned.get("port_dst") or 0
        cleaned["port_dst"] = port_dst
        errors = check_trace(self.team, cleaned["source"], cleaned["target"], cleaned["protocol"], port_dst)
        for name, lines in errors.items():
            for line in lines:
                self.add_error(name, line)
        return cleaned
