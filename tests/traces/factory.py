"""A plausible trace: [web-1]--tap--[br-int@hv1]==vni 4097==[br-int@hv2]--tap--[db-1]."""

from __future__ import annotations

from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.trace import LAYER_OF_HOP, Counters, Hop, HopKind, Intent, Step, Trace, Verdict
from sdn.pipeline import TABLE_BY_NAME

INNER = ("eth", "ipv4", "icmp")
OUTER = ("eth", "ipv4", "udp", "vxlan 4097", *INNER)
PACKET = {
    "protocol": "icmp", "eth_src": "52:54:00:4a:1b:11", "eth_dst": "52:54:00:4a:1b:12",
    "ip_src": "10.20.0.11", "ip_dst": "10.20.0.12", "ttl": "64", "size_bytes": "98",
}  # fmt: skip
HEADER = {"nw_src": "10.20.0.11", "nw_dst": "10.20.0.12", "dl_src": PACKET["eth_src"], "dl_dst": PACKET["eth_dst"]}
KIND = next(iter(CauseKind))


def step(name: str, priority: int, match: str, actions: str, why: str, **changed: tuple[str, str]) -> Step:
    """One look-up in a table of the pipeline."""
    table = TABLE_BY_NAME[name].table_id
    return Step(
        table, name, priority, match, actions, format_cookie(Cause(KIND, 7)), Intent("port", 7, why), "", dict(changed),
        (0, 20), f"table={table},priority={priority},{match}",
    )  # fmt: skip


def hop(kind: HopKind, host: str, name: str, detail: str, *steps: Step, outer: bool = False, raw: str = "") -> Hop:
    """One device of the way."""
    return Hop(
        kind, LAYER_OF_HOP[kind], host, name, detail, steps, dict(HEADER), dict(HEADER), OUTER if outer else INNER,
        None, Counters(412, 40376, 1.0), (f"ovs-appctl ofproto/trace {name} in_port=7,icmp",) if steps else (), raw,
        kind != "underlay",
    )  # fmt: skip


def _tables() -> tuple[Step, ...]:
    return (
        step("classify", 100, "in_port=7", "load:0x1001->NXM_NX_REG1[],resubmit(,10)", "Port of web-1", reg1=("", "0x1001")),
        step("port_security", 310, "icmp,in_port=7,nw_src=10.20.0.11", "resubmit(,20)", "Address of web-1"),
        step("conntrack_egress", 200, "ip", "ct(table=25,zone=4097)", "Connections of payments-net", ct_state=("", "+new+trk")),
        step("egress_rules", 120, "ct_state=+new+trk,ip", "resubmit(,30)", "web-1 may send anything"),
        step("router", 100, "reg1=0x1001", "resubmit(,50)", "Router of payments-net"),
        step("l2_lookup", 400, "dl_dst=52:54:00:4a:1b:12", "set_field:192.0.2.12->tun_dst,output:1", "db-1 is on hv2", tun_dst=("", "192.0.2.12")),
    )  # fmt: skip


def delivered() -> Trace:
    """web-1 reaches db-1 on the other host."""
    raw = "0. in_port=7, priority 100, cookie 0x4853\n    resubmit(,10)\n10. icmp, priority 310"
    arrive = (
        step("classify", 120, "tun_id=0x1001", "resubmit(,50)", "payments-net by its VNI", reg1=("", "0x1001")),
        step("l2_lookup", 400, "dl_dst=52:54:00:4a:1b:12", "resubmit(,60)", "Port of db-1", reg2=("", "0x5")),
        step("conntrack_ingress", 200, "ip", "ct(table=65,zone=4097)", "Connections of payments-net"),
        step("ingress_rules", 120, "ct_state=+new+trk,icmp", "ct(commit),resubmit(,70)", "db-1 takes icmp from its network"),
        step("output", 100, "reg2=0x5", "output:5", "Port of db-1"),
    )  # fmt: skip
    hops = (
        hop("guest_nic", "hv1", "web-1 eth0", "virtio"), hop("backend", "hv1", "qemu", "userspace"),
        hop("tap", "hv1", "vnet3", "port 7"), hop("bridge", "hv1", "br-int", "6 tables", *_tables(), raw=raw),
        hop("tunnel_encap", "hv1", "vxlan0", "+50 B, VNI 4097", outer=True),
        hop("underlay_nic", "hv1", "uplink", "192.0.2.11, mtu 1600", outer=True),
        hop("underlay", "", "underlay", "the wire", outer=True),
        hop("underlay_nic", "hv2", "uplink", "192.0.2.12, mtu 1600", outer=True),
        hop("tunnel_decap", "hv2", "vxlan0", "-50 B, VNI 4097", outer=True),
        hop("bridge", "hv2", "br-int", "5 tables", *arrive, raw=raw), hop("tap", "hv2", "vnet1", "port 5"),
        hop("backend", "hv2", "qemu", "userspace"), hop("guest_nic", "hv2", "db-1 eth0", "virtio"),
    )  # fmt: skip
    return _trace(hops, "delivered", "web-1 reaches db-1: icmp arrives over VXLAN on hv2")


def dropped() -> Trace:
    """Port security on hv1 stops a spoofed address."""
    stop = step("drop", 10, "reg4=0x4", "drop", "its source IPv4 address is not the port's own")
    hops = (
        hop("guest_nic", "hv1", "web-1 eth0", "virtio"), hop("tap", "hv1", "vnet3", "port 7"),
        hop("bridge", "hv1", "br-int", "3 tables", *_tables()[:2], stop),
    )  # fmt: skip
    return _trace(hops, "dropped", "Dropped on hv1: its source IPv4 address is not the port's own")


def _trace(hops: tuple[Hop, ...], verdict: Verdict, reason: str) -> Trace:
    return Trace("t-1", "predicted", "forward", dict(PACKET), hops, verdict, reason, "2026-11-24T02:00:00Z", 3)
