"""The form that asks for a trace."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team
from portal.config.cut import few
from portal.networks.choices import port_named
from portal.networks.models import ExternalNetwork, Port, Router
from portal.traces.header_fields import TCP_FLAGS, read_fields
from portal.traces.instants import read_instant
from portal.traces.outside import find_floating
from portal.traces.packets import KINDS
from portal.traces.past import NIC, past_end, past_ends
from portal.traces.question import OUTSIDE, ROUTER
from portal.traces.requests import (
    DEFAULT_SIZE,
    MOMENTS,
    TraceSpec,
    address_of_family,
    check_trace,
    find_target,
    ports_of,
)

__all__ = ["TraceForm", "ports_of"]
FAMILIES = (("", _("IPv4 first")), ("4", "IPv4"), ("6", "IPv6"))
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


def _label(port: Port) -> str:
    """The VM's name, with the address that the trace is about."""
    addresses = ", ".join(fixed.address for fixed in port.addresses.all())
    return f"{port.name} · {addresses or gettext('no address')} · {port.network.name}"


class TraceForm(forms.Form):
    source: forms.Field = forms.ChoiceField(label=_("From"))
    target = forms.CharField(label=_("To"), required=False, max_length=200, widget=forms.TextInput(attrs={"list": "targets", "placeholder": _("VM or IP address"), **PLAIN}))  # fmt: skip
    protocol = forms.ChoiceField(
        label=_("Packet"), choices=[(name, _(kind.label)) for name, kind in KINDS.items()], initial="icmp"
    )
    port_dst = forms.IntegerField(label=_("Port of TCP, UDP or SCTP"), required=False, initial=22)
    family = forms.ChoiceField(label=_("To a VM that has both"), choices=FAMILIES, required=False)
    moment = forms.ChoiceField(
        label=_("Which packet"), choices=[(name, _(words)) for name, words in MOMENTS], required=False, initial="as_is"
    )
    size_bytes = forms.IntegerField(label=_("Size, bytes of IP"), required=False, initial=DEFAULT_SIZE)
    source_address = forms.CharField(label=_("From outside: as which address"), required=False, max_length=45, widget=forms.TextInput(attrs={"placeholder": _("the network's gateway"), **PLAIN}))  # fmt: skip
    tcp_flags = forms.ChoiceField(
        label=_("TCP flags"), choices=[(name, _(words)) for name, words in TCP_FLAGS], required=False
    )
    header_fields = forms.CharField(label=_("Other header fields"), required=False, max_length=300, widget=forms.TextInput(attrs={"placeholder": "nw_ttl=1,nw_tos=184,tp_src=53", **PLAIN}))  # fmt: skip
    at = forms.CharField(label=_("As of (empty: now)"), required=False, max_length=40, widget=forms.TextInput(attrs={"placeholder": _("now, or 2026-11-26 03:10"), **PLAIN}))  # fmt: skip

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        self.spec = TraceSpec(None, None)
        self.listed = few(ports_of(team))
        self._ports = {str(port.uuid): port for port in self.listed or ()}
        self._networks = {f"{OUTSIDE}{row.name}": row for row in ExternalNetwork.objects.all()}
        self._routers = {f"{ROUTER}{row.name}": row for row in Router.objects.filter(team=team)}
        self._past = {f"{NIC}{end.nic.mac}": end for end in past_ends(team) if end.nic.mac}
        if self.listed is None:
            self.fields["source"] = forms.CharField(label=_("From"), max_length=200, widget=forms.TextInput(attrs={"placeholder": _("VM, IP address, outside:NETWORK or router:NAME"), **PLAIN}))  # fmt: skip
            return
        source = self.fields["source"]
        assert isinstance(source, forms.ChoiceField)
        outside = [(key, f"{row.name} · {row.cidr}") for key, row in self._networks.items()]
        vms = [(key, _label(port)) for key, port in self._ports.items()]
        routers = [(key, row.name) for key, row in self._routers.items()]
        past = [(key, f"{end.name} · {end.nic.mac} · {end.nic.words}") for key, end in self._past.items()]
        groups = (
            (gettext("NICs past Open vSwitch"), past),
            (gettext("Routers"), routers),
            (gettext("Outside"), outside),
        )
        more = [(name, rows) for name, rows in groups if rows]
        source.choices = [("", gettext("Choose a VM")), ("VMs", vms), *more]
        source.error_messages["invalid_choice"] = gettext(
            "source %%(value)s is no VM of team %(team)s: choose one of the list"
        ) % {"team": team.name}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        at, problem = read_instant(cleaned.get("at", ""))
        if problem:
            self.add_error("at", problem)
        fields, problems = read_fields(cleaned.get("header_fields", ""), cleaned.get("protocol", ""), cleaned.get("tcp_flags", ""))  # fmt: skip
        for line in problems:
            self.add_error("header_fields", line)
        if self.errors:
            return cleaned
        rest = {
            "at": at, "header_fields": tuple(fields.items()), "port_dst": cleaned.get("port_dst") or 0, "protocol": cleaned["protocol"],
            "moment": cleaned.get("moment") or "as_is", "size_bytes": cleaned.get("size_bytes") or DEFAULT_SIZE,
        }  # fmt: skip
        ends = self._ends(cleaned)
        if ends is not None:
            self.spec = TraceSpec(**ends, **rest)
            for name, lines in check_trace(self.team, self.spec).items():
                for line in lines:
                    self.add_error(name if name in self.fields else None, line)
        return cleaned

    def clean_source(self) -> str:
        """The key of a network or port; what was typed as a name or address, where the list is too long, becomes one."""
        given = str(self.cleaned_data["source"])
        if any(given in known for known in (self._ports, self._networks, self._routers, self._past)):
            return given
        port = port_named(ports_of(self.team), given)
        if port is None and (past := past_end(self.team, given)):
            self._past[given] = past
            return given
        if port is None:
            raise forms.ValidationError(
                gettext("source %(given)s is no VM of team %(team)s: give its name or address")
                % {"given": f"{given[:60]!r}", "team": self.team.name}
            )
        self._ports[str(port.uuid)] = port
        return str(port.uuid)

    def _ends(self, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        """Where the packet comes from and goes to; None where the target is none, and then that is said."""
        network, router = self._networks.get(cleaned["source"]), self._routers.get(cleaned["source"])
        family = int(cleaned.get("family") or 0)
        if router is not None:
            target, address, problem = find_target(self.team, None, cleaned["target"], cleaned["protocol"])
            ends: dict[str, Any] = {"source": None, "target": target, "address": address, "router": router}
        elif cleaned["source"] in self._past:
            target, address, problem = find_target(self.team, None, cleaned["target"], cleaned["protocol"])
            ends = {"source": None, "target": target, "address": address, "past": self._past[cleaned["source"]]}
        elif network is None:
            source = self._ports[cleaned["source"]]
            target, address, problem = find_target(self.team, source, cleaned["target"], cleaned["protocol"])
            ends = {"source": source, "target": target, "address": address}
        else:
            floating, problem = find_floating(self.team, cleaned["target"], family)
            if floating is not None and floating.address.network_id != network.pk:
                problem = gettext(
                    "%(floating)s is an address of %(network)s, and nothing comes to it from %(network_2)s"
                ) % {"floating": floating, "network": floating.address.network, "network_2": network}
            port = floating.fixed.port if floating and floating.fixed else None
            address = floating.address.address if floating else ""
            ends = {"source": None, "target": port, "address": address, "outside": network, "source_address": cleaned.get("source_address", "")}  # fmt: skip
        if problem and network is None and (past := past_end(self.team, cleaned["target"])):
            return ends | {"past_target": past}
        if family and not problem:
            ends["address"], problem = address_of_family(ends["target"], ends["address"], family)
        if problem:
            self.add_error("target", problem)
            return None
        return ends
