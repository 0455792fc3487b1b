"""What is judged of netfilter's rules is what the kernel does: random rules, real frames through a real bridge.

[left]=lefta--[br0]--righta=[right], all in a network namespace of its own
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, packet, tcp, udp

from lab.commands import CommandFailed, run
from sdn.linux.bridges import BridgeReading, parse_bridge, parse_bridge_ports, parse_fdb, parse_links
from sdn.linux.frame import Frame
from sdn.linux.iptables import merged, parse_save
from sdn.linux.passage import Passage, pass_bridge
from sdn.linux.ruleset import parse_ruleset
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("netfilter"), pytest.mark.timeout(300)]
WEB, DB = "52:54:00:00:00:01", "52:54:00:00:00:02"
RULESETS, OLD_RULESETS, FRAMES_EACH = 20, 15, 5
HEADS = 34  # bytes of Ethernet's and IPv4's header: br_netfilter cuts the padding off
ETH_P_ALL, CLONE_NEWNET = 3, 0x40000000
MATCHES = (
    f"ether saddr {WEB}", f"ether daddr {DB}", f"ether saddr != {{ {WEB}, {DB} }}", "ether type ip", "ether type arp",
    'iifname "lefta"', 'iifname "left*" oifname "righta"', 'oifname { "lefta", "other" }', "ip saddr 10.20.0.0/24",
    "ip saddr 10.20.0.11-10.20.0.15", "ip daddr != 10.20.0.12", "ip protocol icmp", "ip ttl < 64", "ip ttl 64",
    "tcp dport 22", "tcp dport { 22, 80-90 }", "tcp dport != 22", "tcp flags syn", "tcp flags & (syn | ack) == syn",
    "tcp flags != syn", "udp sport 1024-65535", "udp dport 53", "th dport { 22, 53 }", "meta l4proto { tcp, udp }",
    "icmp type echo-request", "icmpv6 type { nd-neighbor-solicit, echo-request }", "ip6 daddr fd00::/64", "ip6 saddr fd00::99",
    "ip6 nexthdr icmpv6", "arp operation request", "arp daddr ip 10.20.0.12", "meta protocol ip6", "meta pkttype broadcast",
    "ip saddr . tcp dport { 10.20.0.11 . 22, 10.20.0.12 . 80 }", "ether daddr & ff:00:00:00:00:00 == 01:00:00:00:00:00",
    "ether saddr @macs", "ip daddr @nets", "tcp dport 22 ip ttl 64", "ip version 4",
)  # fmt: skip
ENDS = ("counter drop", "counter drop", "accept", "return", "jump sub", "goto sub", "counter", "tcp dport vmap { 22 : accept, 80 : goto dead, 49152 : jump dead }", 'iifname vmap { "lefta" : jump sub, "x" : drop }')  # fmt: skip


def _ip(protocol: int, **more: object) -> ipv4.ipv4:
    return ipv4.ipv4(src="10.20.0.11", dst="10.20.0.12", proto=protocol, ttl=64)


def _frame(kind: int, destination: str, *layers: object) -> bytes:
    whole = packet.Packet()
    whole.add_protocol(ethernet.ethernet(src=WEB, dst=destination, ethertype=kind))
    for layer in layers:
        whole.add_protocol(layer)
    whole.serialize()
    return bytes(whole.data)


ENDS_4 = {"dl_src": WEB, "dl_dst": DB, "nw_src": "10.20.0.11", "nw_dst": "10.20.0.12", "nw_ttl": "64"}
ENDS_6 = {"dl_src": WEB, "dl_dst": DB, "ipv6_src": "fd00::b", "ipv6_dst": "fd00::c", "nw_ttl": "64"}
FRAMES: tuple[tuple[dict[str, str], bytes], ...] = (
    ({"tcp": "", **ENDS_4, "tp_src": "49152", "tp_dst": "22", "tcp_flags": "syn"}, _frame(0x800, DB, _ip(6), tcp.tcp(49152, 22, bits=2))),
    ({"tcp": "", **ENDS_4, "tp_src": "80", "tp_dst": "49152", "tcp_flags": "syn|ack"}, _frame(0x800, DB, _ip(6), tcp.tcp(80, 49152, bits=18))),
    ({"udp": "", **ENDS_4, "tp_src": "5353", "tp_dst": "53"}, _frame(0x800, DB, _ip(17), udp.udp(5353, 53), b"hello")),
    ({"icmp": "", **ENDS_4, "icmp_type": "8", "icmp_code": "0"}, _frame(0x800, DB, _ip(1), icmp.icmp(8, 0, data=icmp.echo(1, 1)))),
    ({"icmp6": "", **ENDS_6, "icmp_type": "128", "icmp_code": "0"}, _frame(0x86DD, DB, ipv6.ipv6(src="fd00::b", dst="fd00::c", nxt=58, hop_limit=64), icmpv6.icmpv6(128, 0, data=icmpv6.echo(1, 1)))),
    ({"arp": "", "dl_src": WEB, "dl_dst": "ff:ff:ff:ff:ff:ff", "arp_op": "1", "arp_spa": "10.20.0.11", "arp_tpa": "10.20.0.12", "arp_sha": WEB},
     _frame(0x806, "ff:ff:ff:ff:ff:ff", arp.arp_ip(1, WEB, "10.20.0.11", "00:00:00:00:00:00", "10.20.0.12"))),
)  # fmt: skip


@dataclass
class Wire:
    """A bridge in a network namespace, and the far ends of its two cables."""

    netns: str
    left: socket.socket
    right: socket.socket

    def inside(self, *argv: str) -> str:
        return run("ip", "netns", "exec", self.netns, *argv)

    def reading(self) -> BridgeReading:
        links = parse_links(self.inside("ip", "-j", "-d", "link", "show"))
        ruleset = parse_ruleset(
            self.inside("nft", "-j", "list", "ruleset"), self.inside("nft", "-a", "list", "ruleset")
        )
        fdb = parse_fdb(self.inside("bridge", "-j", "fdb", "show", "br", "br0"))
        return BridgeReading(
            "br0",
            parse_bridge(links, "br0"),
            parse_bridge_ports(links, "br0"),
            fdb,
            ruleset,
            self.sees("ip"),
            self.sees("ip6"),
        )

    def sees(self, family: str) -> bool:
        """Does this kernel hand bridged frames to the chains of IP?"""
        try:
            return self.inside("cat", f"/proc/sys/net/bridge/bridge-nf-call-{family}tables").strip() == "1"
        except CommandFailed:
            return False

    def dropped(self) -> int:
        """Frames that rules which drop have counted."""
        rules = [one["rule"]["expr"] for one in json.loads(self.inside("nft", "-j", "list", "ruleset"))["nftables"] if "rule" in one]  # fmt: skip
        counters = [one["counter"]["packets"] for rule in rules if {"drop": None} in rule for one in rule if "counter" in one]  # fmt: skip
        return sum(counters)

    def arrives(self, frame: bytes, dropped: Callable[[Wire], int] | None = None) -> bool:
        """Does the frame get from left to right? It is waited for until it is there, or a rule that drops has counted it."""
        while self._got():
            pass
        count = dropped or Wire.dropped
        before = count(self)
        self.left.send(frame)
        end = wait_for(lambda: "right" if self._got(frame) else "rule" if count(self) > before else "", 20, "the frame ends somewhere", 0.02)  # fmt: skip
        return end == "right"

    def _got(self, frame: bytes = b"") -> bytes:
        with suppress(BlockingIOError):
            while True:
                found = self.right.recv(2048)
                if not frame or found[:HEADS] == frame[:HEADS]:
                    return found
        return b""


def _sockets(netns: str, *names: str) -> list[socket.socket]:
    """Packet sockets inside of the namespace; a thread enters it and ends, the sockets stay there."""
    found: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{netns}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        for name in names:
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            one.bind((name, ETH_P_ALL))
            one.setblocking(False)
            found.append(one)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    if os.getuid() != 0:
        pytest.skip("needs root")
    netns = f"hs-nf{secrets.token_hex(2)}"
    run("ip", "netns", "add", netns)
    try:
        inside = ("ip", "-n", netns, "link")
        run(*inside, "add", "br0", "type", "bridge", "ageing_time", "0", "forward_delay", "0", "mcast_snooping", "0")
        for far, near in (("left", "lefta"), ("right", "righta")):
            run(*inside, "add", near, "type", "veth", "peer", "name", far)
            run(*inside, "set", near, "addrgenmode", "none", "master", "br0")
            run(*inside, "set", far, "addrgenmode", "none", "up")
            run(*inside, "set", near, "up")
        run(*inside, "set", "br0", "addrgenmode", "none", "up")
        sockets = _sockets(netns, "left", "right")
        assert len(sockets) == 2, "the sockets were made"
        yield Wire(netns, *sockets)
        for one in sockets:
            one.close()
    finally:
        run("ip", "netns", "del", netns)


def _ruleset(rolls: random.Random) -> str:
    """A ruleset of nft: two bridge chains at different hooks, one that is jumped to, sets; and chains of IP's."""
    lines = ["flush ruleset", "add table bridge t", "add table ip u"]
    lines += [f"add set bridge t macs {{ type ether_addr; elements = {{ {rolls.choice((WEB, DB))} }}; }}"]
    lines += ["add set bridge t nets { type ipv4_addr; flags interval; elements = { 10.20.0.8/29, 192.0.2.1 }; }"]
    lines += ["add chain bridge t sub", "add chain bridge t dead", "add rule bridge t dead counter drop"]
    for name, hook in (("one", "forward"), ("two", rolls.choice(("prerouting", "forward", "postrouting")))):
        lines.append(f"add chain bridge t {name} {{ type filter hook {hook} priority {rolls.randint(-50, 50)}; policy accept; }}")  # fmt: skip
    lines.append("add chain ip u three { type filter hook forward priority 0; policy accept; }")
    for chain in rolls.choices(("one", "two", "sub"), k=7):
        ends = [end for end in ENDS if not (chain == "sub" and "sub" in end)]
        lines.append(f"add rule bridge t {chain} {rolls.choice(MATCHES)} {rolls.choice(ends)}")
    own = [one for one in MATCHES if one.startswith(("ip ", "tcp", "udp", "icmp ", "meta l4", "th")) and "@" not in one]
    lines += [f"add rule ip u three {rolls.choice(own)} counter drop" for _ in range(rolls.randint(0, 1))]
    return "\n".join(lines)


def _load(wire: Wire, rolls: random.Random, path: Path) -> None:
    """Load a ruleset; a kernel may lack one expression or another, and that rule is left out."""
    path.write_text(text := _ruleset(rolls))
    try:
        wire.inside("nft", "-f", str(path))
    except CommandFailed:
        for line in text.splitlines():
            with suppress(CommandFailed):
                wire.inside("nft", line)


def _predicted(reading: BridgeReading, fields: dict[str, str]) -> Passage:
    return pass_bridge(reading, Frame(fields, "lefta", "righta", "br0", "new"))


def test_random_rules_do_to_real_frames_what_was_judged(wire: Wire, tmp_path: Path) -> None:
    outcomes = {"passed": 0, "dropped": 0, "undecided": 0}
    for seed in range(RULESETS):
        rolls = random.Random(seed)
        _load(wire, rolls, tmp_path / "rules")
        reading = wire.reading()
        for fields, frame in rolls.sample(FRAMES, FRAMES_EACH):
            judged = _predicted(reading, fields)
            outcomes[judged.outcome] += 1
            assert judged.outcome != "undecided", (judged.words, fields)
            arrived = wire.arrives(frame)
            assert arrived == (judged.outcome == "passed"), (
                seed,
                fields,
                judged,
                wire.inside("nft", "list", "ruleset"),
            )
    assert outcomes["passed"] > 10 and outcomes["dropped"] > 10, outcomes


OLD_MATCHES = (
    "-s 10.20.0.0/24", "-d 10.20.0.12/32", "! -s 10.20.0.11/32", "-i br0", "! -i br0", "-p tcp", "-p udp", "! -p tcp", "-p icmp",
    "-p tcp -m tcp --dport 22", "-p tcp -m tcp ! --dport 22", "-p tcp -m tcp --sport 49152:65535", "-p udp -m udp --dport 53",
    "-p tcp -m multiport --dports 22,80:90", "-p udp -m multiport ! --sports 53,5353", "-p tcp -m tcp --syn",
    "-p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK", "-p tcp -m tcp ! --tcp-flags SYN,RST,ACK,FIN SYN", "-p icmp -m icmp --icmp-type 8",
    "-m iprange --src-range 10.20.0.11-10.20.0.15", "-m iprange ! --dst-range 10.20.0.1-10.20.0.9", "-m mac --mac-source 52:54:00:00:00:01",
    "-m physdev --physdev-in lefta", "-m physdev --physdev-in left+", "-m physdev ! --physdev-in righta", "-m ttl --ttl-eq 64",
    "-m ttl --ttl-lt 64", '-m comment --comment "it is -j DROP"', "-i br+",
)  # fmt: skip
OLD_ENDS = ("DROP", "DROP", "ACCEPT", "RETURN", "SUB-A", "-g SUB-A")


def _old_ruleset(rolls: random.Random) -> str:
    """iptables' rules in two tables, at two hooks, with a chain that is jumped to."""
    lines = ["*mangle", ":PREROUTING ACCEPT [0:0]"]
    lines += [
        f"-A PREROUTING {rolls.choice(OLD_MATCHES)} -j {rolls.choice(('DROP', 'ACCEPT'))}"
        for _ in range(rolls.randint(0, 1))
    ]
    lines += ["COMMIT", "*filter", f":FORWARD {rolls.choice(('ACCEPT', 'ACCEPT', 'DROP'))} [0:0]", ":SUB-A - [0:0]"]
    for chain in rolls.choices(("FORWARD", "FORWARD", "SUB-A"), k=5):
        end = rolls.choice([one for one in OLD_ENDS if chain == "FORWARD" or "SUB" not in one])
        lines.append(f"-A {chain} {rolls.choice(OLD_MATCHES)} {end if end.startswith('-g') else f'-j {end}'}")
    return "\n".join([*lines, "COMMIT", ""])


def _saved(wire: Wire) -> str:
    return wire.inside("iptables-legacy-save", "-c")


def _old_drops(wire: Wire) -> int:
    """Frames that a rule, or a chain's policy, has dropped by iptables' own count."""
    counts = re.findall(r"^\[(\d+):\d+\] .* -j DROP$|^:\S+ DROP \[(\d+):", _saved(wire), re.M)
    return sum(int(rule or policy) for rule, policy in counts)


def test_random_rules_of_the_old_iptables_do_to_real_frames_what_was_judged(wire: Wire, tmp_path: Path) -> None:
    try:
        wire.inside("sh", "-c", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables")
        _saved(wire)
    except CommandFailed as problem:
        pytest.skip(f"this kernel has no iptables of old for bridges: {problem}")
    wire.inside("nft", "flush", "ruleset")
    outcomes = {"passed": 0, "dropped": 0, "undecided": 0}
    for seed in range(OLD_RULESETS):
        rolls = random.Random(seed)
        (tmp_path / "rules").write_text(text := _old_ruleset(rolls))
        wire.inside("iptables-legacy-restore", str(tmp_path / "rules"))
        reading = replace(wire.reading(), ruleset=merged(wire.reading().ruleset, parse_save(_saved(wire), "ip")))
        assert reading.sees_ip
        for fields, frame in rolls.sample(FRAMES, FRAMES_EACH):
            judged = _predicted(reading, fields)
            outcomes[judged.outcome] += 1
            assert judged.outcome != "undecided", (judged.words, fields)
            arrived = wire.arrives(frame, _old_drops)
            assert arrived == (judged.outcome == "passed"), (seed, fields, judged, text)
    assert outcomes["passed"] > 10 and outcomes["dropped"] > 10, outcomes
