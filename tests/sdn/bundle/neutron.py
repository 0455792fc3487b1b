"""A compute node as Neutron's Open vSwitch agent leaves it, on a real switch, and its support bundle as sos writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sdn.shadow import Shadow

WEB, DB, WEB_MAC, DB_MAC = 5, 6, "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
AWAY_MAC = "fa:16:3e:00:00:03"
BR_INT = f"""
table=0, priority=10,icmp6,in_port={WEB},icmp_type=136 actions=resubmit(,24)
table=0, priority=10,arp,in_port={WEB} actions=resubmit(,24)
table=0, priority=9,in_port={WEB} actions=resubmit(,25)
table=0, priority=9,in_port={DB} actions=resubmit(,25)
table=0, priority=3,in_port=1 actions=NORMAL
table=0, priority=0 actions=resubmit(,60)
table=24, priority=2,arp,in_port={WEB},arp_spa=10.0.0.11 actions=resubmit(,25)
table=24, priority=0 actions=drop
table=25, priority=2,in_port={WEB},dl_src={WEB_MAC} actions=resubmit(,60)
table=25, priority=2,in_port={DB},dl_src={DB_MAC} actions=resubmit(,60)
table=60, priority=100,in_port={WEB} actions=load:0x5->NXM_NX_REG5[],load:0x2->NXM_NX_REG6[],resubmit(,71)
table=60, priority=100,in_port={DB} actions=load:0x6->NXM_NX_REG5[],load:0x2->NXM_NX_REG6[],resubmit(,71)
table=60, priority=3 actions=NORMAL
table=71, priority=65,ip,reg5=0x5,in_port={WEB},dl_src={WEB_MAC},nw_src=10.0.0.11 actions=ct(table=72,zone=NXM_NX_REG6[0..15])
table=71, priority=65,ip,reg5=0x6,in_port={DB},dl_src={DB_MAC},nw_src=10.0.0.12 actions=ct(table=72,zone=NXM_NX_REG6[0..15])
table=71, priority=0 actions=drop
table=72, priority=77,ct_state=+est-rel-inv+trk actions=resubmit(,73)
table=72, priority=75,ct_state=+new-est,tcp,reg5=0x5 actions=resubmit(,73)
table=72, priority=0 actions=resubmit(,93)
table=73, priority=90,dl_dst={DB_MAC} actions=load:0x6->NXM_NX_REG5[],resubmit(,81)
table=73, priority=80 actions=resubmit(,94)
table=81, priority=90,ct_state=+trk,reg5=0x6 actions=resubmit(,82)
table=81, priority=0 actions=drop
table=82, priority=75,ct_state=+new-est,tcp,reg5=0x6,tp_dst=5432 actions=ct(commit,zone=NXM_NX_REG6[0..15]),output:{DB}
table=82, priority=50,ct_state=+est-rel+rpl,reg5=0x6 actions=output:{DB}
table=82, priority=0 actions=drop
table=93, priority=0 actions=drop
table=94, priority=1 actions=NORMAL
"""
BR_TUN = """
table=0, priority=1,in_port=1 actions=resubmit(,2)
table=0, priority=1,in_port=2 actions=resubmit(,4)
table=2, priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00 actions=resubmit(,20)
table=20, priority=2,dl_vlan=2,dl_dst=fa:16:3e:00:00:03 actions=strip_vlan,load:0x41->NXM_NX_TUN_ID[],output:2
table=20, priority=0 actions=drop
table=4, priority=0 actions=drop
"""
DOMAIN = f"""<domstatus state='running'><domain type='kvm'><name>instance-0000000a</name><devices>
<interface type='bridge'><mac address='{WEB_MAC}'/><target dev='tapweb'/><model type='virtio'/></interface></devices></domain></domstatus>
"""
COMMANDS = (
    ("ovs-vsctl -t 5 show", "ovs-vsctl"),
    ("ovs-vsctl -t 5 list interface", "ovs-vsctl"),
    ("ovs-ofctl show {bridge}", "ovs-ofctl"),
    ("ovs-ofctl -O OpenFlow13 dump-flows {bridge}", "ovs-ofctl"),
    ("ovs-ofctl dump-flows {bridge}", "ovs-ofctl"),
    ("ovs-ofctl -O OpenFlow13 dump-groups {bridge}", "ovs-ofctl"),
    ("ovs-appctl fdb/show {bridge}", "ovs-appctl"),
)


def make_node(shadow: Shadow) -> None:
    """br-int with two taps of VLAN 2, br-tun with a tunnel, a patch pair between them."""
    for bridge in ("br-int", "br-tun"):
        shadow.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy", "fail_mode=secure", "protocols=[OpenFlow10,OpenFlow13]")  # fmt: skip
    for bridge, name, ofport, more in (
        ("br-int", "patch-tun", 1, ("type=patch", "options:peer=patch-int")),
        ("br-int", "tapweb", WEB, ("type=dummy", "external_ids:iface-id=port-web")),
        ("br-int", "tapdb", DB, ("type=dummy", "external_ids:iface-id=port-db")),
        ("br-tun", "patch-int", 1, ("type=patch", "options:peer=patch-tun")),
        ("br-tun", "vxlan-c000020c", 2, ("type=vxlan", "options:remote_ip=192.0.2.12", "options:key=flow")),
    ):  # fmt: skip
        shadow.vsctl("add-port", bridge, name, "--", "set", "interface", name, f"ofport_request={ofport}", *more)
    for tap in ("tapweb", "tapdb"):
        shadow.vsctl("set", "port", tap, "tag=2")
    shadow.ofctl("add-flows", "br-int", BR_INT, version="OpenFlow13")
    shadow.ofctl("add-flows", "br-tun", BR_TUN, version="OpenFlow13")


def write_bundle(shadow: Shadow, folder: Path) -> Path:
    """What sos would have written of the node: each command's output under its own name."""
    outputs = folder / "sosreport-node-1" / "sos_commands" / "openvswitch"
    outputs.mkdir(parents=True)
    for command, tool in COMMANDS:
        for bridge in ("br-int", "br-tun") if "{bridge}" in command else ("",):
            line = command.format(bridge=bridge)
            name = line.replace("/", ".").replace(" ", "_")
            outputs.joinpath(name).write_text(_run(shadow, tool, line.split()[1:], bridge))
    libvirt = folder / "sosreport-node-1" / "run" / "libvirt" / "qemu"
    libvirt.mkdir(parents=True)
    (libvirt / "instance-0000000a.xml").write_text(DOMAIN)
    (folder / "sosreport-node-1" / "hostname").write_text("node-1\n")
    return folder


def _run(shadow: Shadow, tool: str, words: list[str], bridge: str) -> str:
    remote = {
        "ovs-vsctl": [f"--db=unix:{shadow.rundir}/db.sock"], "ovs-ofctl": [], "ovs-appctl": ["-t", str(shadow.unixctl)],
    }[tool]  # fmt: skip
    if tool == "ovs-ofctl":
        words = [f"unix:{shadow.rundir}/{bridge}.mgmt" if word == bridge else word for word in words]
    done = subprocess.run([tool, *remote, *words], capture_output=True, text=True, check=True)
    return done.stdout
