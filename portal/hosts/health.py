"""What is wrong with a host, in words, worst first: made of the row and of what its OVSDB told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext

from portal.config.told import told
from portal.hosts.models import Host
from sdn.model.switch import BridgeSeen, SwitchSeen

STALE = timedelta(seconds=30)
OURS = ("br-int", "br-ex")


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong, and what to do."""

    words: str
    do: str


def troubles(host: Host, switch: SwitchSeen | None, now: datetime) -> list[Trouble]:
    """Everything that is wrong; nothing for a host that is fine."""
    return [*_libvirt(host, now), *_switch(host, switch), *_bridges(switch)]


def _libvirt(host: Host, now: datetime) -> Iterator[Trouble]:
    if host.libvirt_error:
        yield Trouble(
            f"libvirt: {told(host.libvirt_error)}",
            gettext("On the host: systemctl status libvirtd; virsh -c %(libvirt_uri)s version")
            % {"libvirt_uri": host.libvirt_uri},
        )
    elif host.libvirt_seen_at is None:
        yield Trouble(gettext("libvirt was never reached."), gettext("Is the collector running, and the URI right?"))
    elif now - host.libvirt_seen_at > STALE:
        yield Trouble(
            gettext("libvirt was not heard for more than 30 s."), gettext("Is the collector running? Is the host up?")
        )


def _switch(host: Host, switch: SwitchSeen | None) -> Iterator[Trouble]:
    if host.ovs_error:
        yield Trouble(
            gettext("Open vSwitch: %(ovs_error)s") % {"ovs_error": told(host.ovs_error)},
            gettext("On the host: systemctl status openvswitch-switch; ovs-vsctl show"),
        )
    elif host.ovs_seen_at is None or switch is None:
        yield Trouble(
            gettext("Open vSwitch was never reached."),
            gettext("Is the controller running, and does it reach %(ovsdb)s?") % {"ovsdb": host.ovsdb},
        )


def _bridges(switch: SwitchSeen | None) -> Iterator[Trouble]:
    if switch is None:
        return
    names = {bridge.name for bridge in switch.bridges}
    if "br-int" not in names:
        yield Trouble(
            gettext("There is no br-int on it."), gettext("The controller makes it when it reaches OVSDB; see its log.")
        )
    for bridge in switch.bridges:
        if bridge.name == "br-int" and bridge.controller != "connected":
            yield Trouble(
                gettext("br-int’s controller is %(controller)s: no flow is changed.")
                % {"controller": bridge.controller},
                gettext("ovs-vsctl get-controller br-int"),
            )
        yield from _interfaces(bridge)


def _interfaces(bridge: BridgeSeen) -> Iterator[Trouble]:
    for port in bridge.ports:
        for one in port.interfaces:
            if one.error:
                yield Trouble(
                    gettext("%(bridge)s, port %(one)s: %(error)s")
                    % {"bridge": bridge.name, "one": one.name, "error": one.error},
                    gettext("ovs-vsctl list interface %(one)s") % {"one": one.name},
                )
            elif one.kind == "nic" and one.link == "down":
                yield Trouble(
                    gettext("%(bridge)s: the link of %(one)s is down.") % {"bridge": bridge.name, "one": one.name},
                    gettext("ip link show %(one)s; is the cable in?") % {"one": one.name},
                )
