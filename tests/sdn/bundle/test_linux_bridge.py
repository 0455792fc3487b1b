"""A guest behind a Linux bridge in a bundle: judged where its rules are JSON, shown as evidence where they are text.

[instance-0000000a]--tapweb--[br-int@node-1]--tapdb=qvbdb--[qbrdb]--vnet7--[instance-0000000b]
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sdn.bundle import BundleShadow, read_bundle
from sdn.bundle.files import is_wanted
from sdn.bundle.linux import fdb_of_text, links_of_text
from sdn.linux.bridges import BridgeFacts, BridgePort, FdbEntry, parse_bridge, parse_bridge_ports
from sdn.model.trace import Trace
from sdn.shadow import Shadow
from tasks.bundles import trace_bundle
from tests.sdn.bundle.neutron import DB_MAC, WEB, WEB_MAC, make_node, write_bundle
from tests.sdn.linux.rules import DROP, meta, payload, text_of

TO_DB = f"in_port={WEB},tcp,dl_src={WEB_MAC},dl_dst={DB_MAC},nw_src=10.0.0.11,nw_dst=10.0.0.12,tp_src=40000,tp_dst=5432"
DOMAIN = f"""<domstatus state='running'><domain type='kvm'><name>instance-0000000b</name><devices>
<interface type='bridge'><mac address='{DB_MAC}'/><source bridge='qbrdb'/><target dev='vnet7'/><model type='virtio'/></interface>
</devices></domain></domstatus>"""
LINKS = """\
7: qbrdb: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000
    link/ether 52:54:00:8d:97:71 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535
    bridge forward_delay 0 hello_time 200 max_age 2000 ageing_time 30000 stp_state 0 priority 32768 vlan_filtering 0 bridge_id 8000 nf_call_iptables 0 nf_call_ip6tables 0 nf_call_arptables 0
    RX:  bytes packets errors dropped  missed   mcast
          1465      12      0       0       0       9
8: qvbdb@tapdb: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 9000 qdisc noqueue master qbrdb state UP mode DEFAULT group default qlen 1000
    veth
    bridge_slave state forwarding priority 32 cost 2 hairpin off guard off learning on flood on mcast_flood on bcast_flood on isolated off locked off addrgenmode none
9: tapdb@qvbdb: <BROADCAST,MULTICAST,PROMISC,UP,LOWER_UP> mtu 9000 qdisc noqueue state UP mode DEFAULT group default qlen 1000
    veth addrgenmode none
10: vnet7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master qbrdb state UNKNOWN mode DEFAULT group default qlen 1000
    tun type tap pi off vnet_hdr on persist off
    bridge_slave state forwarding priority 32 cost 2 hairpin off guard off learning on flood on mcast_flood off bcast_flood on isolated on locked off addrgenmode eui64
"""
FDB = f"""\
33:33:00:00:00:01 dev qbrdb self permanent
fe:16:3e:00:00:02 dev vnet7 used 221/221 master qbrdb permanent
{DB_MAC} dev vnet7 used 3/1 master qbrdb
"""
JSON = "firewall_tables/nft_-j_list_ruleset"
RULES_TEXT = "table bridge fw {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\ttcp dport 5432 drop\n\t}\n}\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Shadow() as shadow:
        make_node(shadow)
        folder = write_bundle(shadow, tmp_path_factory.mktemp("bundle")) / "sosreport-node-1"
    (folder / "run" / "libvirt" / "qemu" / "instance-0000000b.xml").write_text(DOMAIN)
    return folder


def asked(node: Path, *beside: dict[str, str]) -> Trace:
    """The answer of the bundle with these files of `sos_commands` beside, which are taken away again."""
    written = []
    for where, text in [one for files in beside for one in files.items()]:
        path = node / "sos_commands" / where
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert is_wanted(path.relative_to(node)), "an upload keeps it"  # type: ignore[arg-type]
        written.append(path)
    try:
        with BundleShadow(read_bundle(node)) as loaded:
            return trace_bundle(loaded, "br-int", TO_DB, ())
    finally:
        for path in written:
            path.unlink()


TEXTS = {"networking/ip_-s_-d_link": LINKS, "networking/bridge_-s_-s_-d_-t_fdb_show": FDB}


def test_what_ip_and_bridge_print_as_text_is_read_like_their_json() -> None:
    links = links_of_text(LINKS)
    assert parse_bridge(links, "qbrdb") == BridgeFacts("qbrdb", True, 300.0, False, False, False, False)
    assert parse_bridge_ports(links, "qbrdb") == {
        "qvbdb": BridgePort("qvbdb", "forwarding"),
        "vnet7": BridgePort("vnet7", "forwarding", floods_multicast=False, isolated=True),
    }
    assert fdb_of_text(FDB) == (FdbEntry("fe:16:3e:00:00:02", "vnet7", "local"), FdbEntry(DB_MAC, "vnet7", "learned"))


def test_a_report_with_rules_as_text_shows_them_and_says_that_it_does_not_judge(node: Path) -> None:
    found = asked(node, TEXTS, {"firewall_tables/nft_list_ruleset": RULES_TEXT})
    assert found.verdict == "delivered"
    bridge = next(hop for hop in found.hops if hop.kind == "linux_bridge")
    assert [hop.kind for hop in found.hops[-5:]] == ["veth", "linux_bridge", "tap", "backend", "guest_nic"]
    assert "fdb: to vnet7 (a learned entry); netfilter was not read" in bridge.detail
    assert "tcp dport 5432 drop" in bridge.evidence
    assert any("only as text" in finding and "not evaluated" in finding for finding in found.findings), found.findings


def test_rules_as_json_are_judged(node: Path) -> None:
    rules = text_of([payload("tcp", "dport", 5432), DROP])
    found = asked(node, TEXTS, {JSON: rules})
    assert found.verdict == "dropped" and "in the Linux bridge qbrdb" in found.reason, found.reason
    assert found.hops[-1].kind == "linux_bridge"
    other = text_of([payload("tcp", "dport", 22), DROP])
    assert asked(node, TEXTS, {JSON: other}).verdict == "delivered"
    doubtful = asked(node, TEXTS, {JSON: text_of([meta("mark", 1), DROP])})
    assert doubtful.verdict == "unknown" and "nobody can evaluate" in doubtful.reason


def test_ips_rules_are_judged_where_the_report_says_that_they_see_bridged_frames(node: Path) -> None:
    rules = {JSON: text_of([payload("tcp", "dport", 5432), DROP], family="ip")}
    assert asked(node, TEXTS, rules, {"kernel/sysctl_-a": "net.bridge.bridge-nf-call-iptables = 0\n"}).verdict == "delivered"  # fmt: skip
    assert asked(node, TEXTS, rules, {"kernel/sysctl_-a": "a = 1\nnet.bridge.bridge-nf-call-iptables = 1\n"}).verdict == "dropped"  # fmt: skip


SAVED = """\
# Generated by iptables-save v1.8.7{by} on Mon Jan  5 10:00:00 2026
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -d 10.0.0.12/32 -p tcp -m tcp --dport 5432 -m comment --comment "no database" -j DROP
COMMIT
"""
SEEN = {"kernel/sysctl_-a": "net.bridge.bridge-nf-call-iptables = 1\n"}


@pytest.mark.parametrize(
    ("name", "by", "table"),
    [
        ("iptables-save", "", "ip filter (iptables-legacy)"),
        ("iptables-legacy-save_-c", "", "ip filter (iptables-legacy)"),
        ("iptables-save_-c", " (nf_tables)", "ip filter (iptables)"),
    ],
)
def test_rules_of_iptables_save_are_judged_and_that_nfts_own_are_not_is_said(node: Path, name: str, by: str, table: str) -> None:  # fmt: skip
    saved = {f"networking/{name}": SAVED.format(by=by)}
    found = asked(node, TEXTS, SEEN, saved)
    assert found.verdict == "dropped" and f"rule 1 of chain FORWARD, table {table}, drops it" in found.reason
    assert any("those of iptables-save are evaluated" in finding for finding in found.findings)
    assert asked(node, TEXTS, saved).verdict == "delivered", "nobody says that bridged frames meet them"
    beside = asked(node, TEXTS, SEEN, saved, {JSON: text_of()})
    assert beside.verdict == ("delivered" if by else "dropped"), "nft's JSON has what iptables keeps by nft"
    sixth = {f"networking/ip6tables{name.removeprefix('iptables')}": SAVED.format(by=by)}
    assert asked(node, TEXTS, SEEN, sixth).verdict == "delivered", "those of IPv6 are for IPv6"


def test_a_stale_entry_of_the_mac_table_is_told(node: Path) -> None:
    stale = {**TEXTS, "networking/bridge_-s_-s_-d_-t_fdb_show": FDB.replace(f"{DB_MAC} dev vnet7", f"{DB_MAC} dev qvbdb")}  # fmt: skip
    found = asked(node, stale)
    assert found.verdict == "dropped" and "at qvbdb, where the frame comes from" in found.reason


def test_a_report_without_links_has_no_linux_bridge_and_invents_none(node: Path) -> None:
    found = asked(node)
    assert found.verdict in ("delivered", "unknown")
    assert all(hop.kind != "linux_bridge" for hop in found.hops)
