"""`manage.py trace --bundle`: a packet on a host that is not there, only what `sos` wrote of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from django.utils import timezone

from portal.traces.packets import WITH_PORTS
from sdn.bundle import Bundle, BundleShadow
from sdn.bundle.values import BundleBridge, Guest
from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.device import DeviceChain, chain_past
from sdn.model.trace import Trace
from sdn.trace import LiveWorld, Question, TraceHost
from sdn.trace.fields import flow_text
from sdn.trace.parser import parse_flow
from sdn.trace.past import predict_past
from sdn.trace.predict import predict_flow
from sdn.trace.question import Endpoint, HostUnreachable, PortFacts
from tasks.raw_flows import ANY, FlowProblem, asked_by_flow, fields_in, packet_of, read_flow
from tasks.trace_typed import fields_of, protocol_of

DEADLINE_S = 30.0
BROADCAST = "ff:ff:ff:ff:ff:ff"


class BundleWorld(LiveWorld):
    """A shadow of the bundle, with the connections that the bundle tells."""

    def __init__(self, loaded: BundleShadow) -> None:
        super().__init__({loaded.bundle.host: loaded.rundir}, DEADLINE_S)
        self._bundle = loaded.bundle

    def conntrack(self, host: str, zone: int) -> str:
        return self._bundle.conntrack

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """As the bundle's files tell it."""
        return self._bundle.linux.reading(bridge, self._bundle.conntrack)

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """A bundle tells of the host's own namespace alone."""
        return None


def trace_bundle(loaded: BundleShadow, bridge_name: str, flow: str, ct_next: tuple[str, ...]) -> Trace:
    """The packet's way through the bundle's host. Raises FlowProblem for a bridge or a flow that can't be asked about."""
    bundle = loaded.bundle
    bridge = next((one for one in bundle.bridges if one.name == bridge_name), None)
    if bridge is None:
        names = ", ".join(one.name for one in bundle.bridges)
        raise FlowProblem(f"bridge {bridge_name!r} was given; the bundle has {names}")
    if (sender := _sender_past(bundle, flow)) is not None:
        return _ended(bundle, bridge, sender, flow)
    fields = read_flow(
        flow, bridge.name, {one.name: one.ofport for port in bridge.ports for one in port.interfaces if one.ofport}
    )
    ports = _endpoints(bundle, bridge)
    number = int(fields["in_port"])
    source = ports.get(number) or _stranger(bundle, bridge, number)
    host = TraceHost(bundle.host, "", _tunnel_ofport(bridge), ports)
    now = timezone.now().isoformat()
    question = Question(
        id="", source=source, target=_past_at(bundle, fields.get("dl_dst", "")), packet=packet_of(fields), hosts=(host,), generation=0, started_at=now,
        bridge=bridge_name, ct_next=ct_next, is_one_host=True,
    )  # fmt: skip
    world = BundleWorld(loaded)
    try:
        world.ofproto_trace(bundle.host, bridge_name, flow_text(fields), ())
        trace = predict_flow(question, world, fields, lambda causes: {})
        return replace(trace, question=asked_by_flow(question, flow))
    except HostUnreachable as problem:
        raise FlowProblem(f"Open vSwitch does not take the flow {flow!r}: {problem}") from problem
    finally:
        world.close()


def _ended(bundle: Bundle, bridge: BundleBridge, sender: Endpoint, flow: str) -> Trace:
    """The trace of what a NIC past Open vSwitch sends: it meets no bridge of the bundle."""
    fields = fields_in(flow)
    host = TraceHost(bundle.host, "", None, {})
    question = Question(
        id="", source=sender, target=None, packet=packet_of(fields), hosts=(host,), generation=0,
        started_at=timezone.now().isoformat(), bridge=bridge.name, is_one_host=True,
    )  # fmt: skip
    return replace(predict_past(question, fields), question=asked_by_flow(question, flow))


def _sender_past(bundle: Bundle, flow: str) -> Endpoint | None:
    """Whose NIC sends it, where the flow tells no in_port and its MAC is that of one past Open vSwitch."""
    fields = fields_in(flow)
    return None if fields.get("in_port") else _past_at(bundle, fields.get("dl_src", ""))


def _past_at(bundle: Bundle, mac: str) -> Endpoint | None:
    """The NIC past Open vSwitch that has the MAC."""
    wanted = mac.lower()
    return next((end for end in past_endpoints(bundle) if end.mac == wanted), None) if wanted else None


def past_endpoints(bundle: Bundle) -> list[Endpoint]:
    """The guests' NICs that no port of any bridge of the bundle stands for."""
    plugged = {end.mac for bridge in bundle.bridges for end in _endpoints(bundle, bridge).values()}
    return [
        Endpoint(
            guest.domain, "NIC", guest.mac.lower(), ip_address(ANY), bundle.host, "", None, guest.model, "", guest.domain,
            chain=chain_past(guest.bypass, guest.model),
        )
        for guest in bundle.guests
        if guest.bypass is not None and guest.mac not in plugged
    ]  # fmt: skip


def _endpoints(bundle: Bundle, bridge: BundleBridge) -> dict[int, Endpoint]:
    """What is behind the bridge's ports, where libvirt's files tell."""
    found = {}
    for port in bridge.ports:
        for interface in port.interfaces:
            if interface.ofport is None:
                continue
            guest = _guest_of(bundle, interface.name, interface.external_ids)
            if guest is not None:
                found[interface.ofport] = Endpoint(
                    name=guest.domain, nic="NIC", mac=guest.mac, address=ip_address(ANY), host=bundle.host,
                    tap=interface.name, ofport=interface.ofport, nic_model=guest.model or "unknown model",
                    backend="back end", domain=guest.domain, chain=_chain(bundle, guest, interface.name),
                )  # fmt: skip
    return found


def _chain(bundle: Bundle, guest: Guest, port: str) -> DeviceChain:
    """The Linux bridge between a guest's tap and the switch's port, where the bundle tells of one."""
    bridge, cable = bundle.linux.cable_of(port)
    if not bridge or bridge != guest.bridge:
        return DeviceChain()
    return DeviceChain(bridge=bridge, tap=guest.tap, veth=cable, bridge_ports=", ".join(bundle.linux.ports_of(bridge)))


def _guest_of(bundle: Bundle, name: str, external_ids: Mapping[str, str]) -> Guest | None:
    iface_id, mac = external_ids.get("iface-id", ""), external_ids.get("attached-mac", "").lower()
    bridge, _ = bundle.linux.cable_of(name)
    bridged = [guest for guest in bundle.guests if bridge and guest.bridge == bridge]
    if len(bridged) == 1:
        return bridged[0]
    for guest in bundle.guests:
        if guest.tap == name or (iface_id and guest.interface_id == iface_id) or (mac and guest.mac.lower() == mac):
            return guest
    return None


def _stranger(bundle: Bundle, bridge: BundleBridge, number: int) -> Endpoint:
    """A port with nothing known behind it."""
    names = {interface.ofport: interface.name for port in bridge.ports for interface in port.interfaces}
    names[65534] = bridge.name
    name = names.get(number)
    if name is None:
        known = ", ".join(f"{ofport} ({name})" for ofport, name in sorted(names.items(), key=lambda one: one[0] or 0) if ofport)  # fmt: skip
        raise FlowProblem(f"in_port {number} was given; {bridge.name} has the ports {known}")
    return Endpoint(name, "", "", ip_address(ANY), bundle.host, name, number, "", "", "-")


def _tunnel_ofport(bridge: BundleBridge) -> int | None:
    """The port whose tunnels are made by flows (remote_ip=flow)."""
    for port in bridge.ports:
        for interface in port.interfaces:
            if interface.type in ("vxlan", "geneve", "gre") and interface.options.get("remote_ip") == "flow":
                return interface.ofport
    return None


def flow_between(bundle: Bundle, options: Mapping[str, Any]) -> str:
    """The flow of a packet from one of the bundle's guests to another, by their names. Raises FlowProblem."""
    bridge = next((one for one in bundle.bridges if one.name == options["bridge"]), None)
    ports = _endpoints(bundle, bridge) if bridge else {}
    if bridge is None or not options["source"] or not options["target"]:
        raise FlowProblem("say which packet: --flow 'in_port=9,tcp,dl_src=…', or two VMs of the bundle by name")
    source, target = (_named(str(options[name]), name, bundle, ports) for name in ("source", "target"))
    if source.ofport is None:
        return f"{protocol_of(options)},dl_src={source.mac},dl_dst={target.mac or BROADCAST}"
    ends = {end.name: _address_of(bridge, end.mac) for end in (source, target)}
    unknown = [name for name, address in ends.items() if not address]
    if unknown:
        if (past := target.chain.bypass) is not None and target.ofport is None:
            raise FlowProblem(f"{past.words_to(target.name)} No flow of {bridge.name} tells its address: give the packet by --flow to follow it to where it leaves Open vSwitch")  # fmt: skip
        raise FlowProblem(f"no flow of {bridge.name} tells the address of {' and '.join(unknown)}: give the packet by --flow")  # fmt: skip
    protocol = protocol_of(options)
    head = f"in_port={source.ofport},{protocol},dl_src={source.mac}"
    if protocol == "arp":
        return f"{head},dl_dst={BROADCAST},arp_op=1,arp_spa={ends[source.name]},arp_tpa={ends[target.name]}"
    service = f"tp_src=49152,tp_dst={options[protocol]}" if protocol in WITH_PORTS else "icmp_type=8"
    way = f"dl_dst={target.mac},nw_src={ends[source.name]},nw_dst={ends[target.name]},nw_ttl=64,{service}"
    return ",".join(filter(None, (head, way, fields_of(options))))


def _named(name: str, field: str, bundle: Bundle, ports: Mapping[int, Endpoint]) -> Endpoint:
    found = next((end for end in (*ports.values(), *past_endpoints(bundle)) if end.name == name), None)
    if found is None:
        plugged = ", ".join(end.name for end in ports.values()) or "none"
        raise FlowProblem(f"{field} {name!r} was given; the VMs plugged into the bridge are: {plugged}")
    return found


def _address_of(bridge: BundleBridge, mac: str) -> str:
    """The IPv4 address that the flows hold a MAC to, or answer ARP for."""
    for line in bridge.flows:
        match = parse_flow(line.partition(" actions=")[0].replace(" ", ""))
        if mac in (match.get("dl_src"), match.get("eth_src"), match.get("arp_sha")):
            address = match.get("nw_src") or match.get("arp_spa") or ""
            if address and "/" not in address and address != ANY:
                return address
    return ""
