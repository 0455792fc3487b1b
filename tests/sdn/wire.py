"""Real frames through a private Open vSwitch: into a dummy port, and what came out of another."""

from __future__ import annotations

import re
import struct
from ipaddress import IPv6Address
from pathlib import Path

from os_ken.lib.packet import ethernet, icmpv6, ipv6, packet, udp

from sdn.compiler import compile_host
from sdn.model.flow import format_flow
from sdn.model.intent import IntentSnapshot
from sdn.pipeline import DROP_REASONS
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.switch import Switch
from tests.sdn.world import DANA, TUNNEL, VIEW, WEB_1, WEB_2
from tests.waiting import wait_for


class Wire:
    """The dummy ports of a switch, each with a capture of what leaves by it."""

    def __init__(self, switch: Switch, *ofports: int) -> None:
        self._client = UnixctlClient(switch.shadow.unixctl)
        self._captures = {number: Path(switch.rundir) / f"p{number}.pcap" for number in ofports}
        self._seen = dict.fromkeys(ofports, 0)
        for number, path in self._captures.items():
            switch.vsctl("set", "interface", f"p{number}", f"options:tx_pcap={path}")

    def send(self, ofport: int, frame: bytes) -> dict[int, list[bytes]]:
        """Frames that left by each port because of this one, which came in at `ofport`."""
        before = self._received()
        self._client.run("netdev-dummy/receive", f"p{ofport}", frame.hex())
        wait_for(lambda: self._received() > before, 5, "the switch takes the frame", 0.002)
        return {number: found for number in self._captures if (found := self._new(number))}

    def settle_counters(self) -> None:
        """Flows count what the datapath did so far."""
        self._client.run("revalidator/purge")

    def _received(self) -> int:
        # dummy ports are polled by the thread that answers this: a frame that is counted has left too
        return sum(map(int, re.findall(r"packets received: (\d+)", self._client.run("dpif-netdev/pmd-stats-show"))))

    def _new(self, ofport: int) -> list[bytes]:
        frames = frames_in(self._captures[ofport])
        fresh = frames[self._seen[ofport] :]
        self._seen[ofport] = len(frames)
        return fresh

    def close(self) -> None:
        self._client.close()


def frames_in(capture: Path) -> list[bytes]:
    """The frames of a pcap file that is being written; none before there is one."""
    content = capture.read_bytes()[24:] if capture.exists() else b""
    found = []
    while len(content) >= 16 and len(content) >= 16 + (size := struct.unpack_from("<I", content, 8)[0]):
        found.append(content[16 : 16 + size])
        content = content[16 + size :]
    return found


class Bench:
    """br-int of hv1 with the flows of one world."""

    def __init__(self, shadow: Shadow, world: IntentSnapshot) -> None:
        ports = tuple(ShadowPort(f"p{number}", number) for number in (TUNNEL, WEB_1, WEB_2, DANA))
        lines = "\n".join(format_flow(flow) for flow in compile_host(world, VIEW))
        shadow.load([ShadowBridge("br-int", ports, lines)])
        self.switch = Switch(shadow)
        self.wire = Wire(self.switch, TUNNEL, WEB_1, WEB_2, DANA)

    def send(self, frame: bytes, ofport: int = WEB_1) -> dict[int, list[bytes]]:
        return self.wire.send(ofport, frame)

    def drops(self) -> dict[str, int]:
        """Dropped so far, by reason."""
        names = {reason.code: reason.name for reason in DROP_REASONS}
        self.wire.settle_counters()
        dump = self.switch.ofctl("dump-flows", "--no-names", "table=250")
        counts = re.findall(r"n_packets=(\d+), .*reg4=(\w+)", dump)
        return {names[int(code, 0)]: int(count) for count, code in counts if int(count)}

    def reason(self, frame: bytes, ofport: int = WEB_1) -> str:
        """Why the switch drops the frame; "" when it does not."""
        before = self.drops()
        out = self.send(frame, ofport)
        found = [name for name, count in self.drops().items() if count > before.get(name, 0)]
        assert not (found and out), "dropped and sent"
        return found[0] if found else ""


def frame_of(*layers: object) -> bytes:
    """os-ken's own encoding of the layers."""
    built = packet.Packet()
    for layer in layers:
        built.add_protocol(layer)
    built.serialize()
    return bytes(built.data)


def ether6(source: str, target: str) -> ethernet.ethernet:
    return ethernet.ethernet(target, source, 0x86DD)


def ip6(source: str, target: str, protocol: int = 58, hop_limit: int = 255) -> ipv6.ipv6:
    return ipv6.ipv6(src=source, dst=target, nxt=protocol, hop_limit=hop_limit)


def solicitation(mac: str, source: str, target: str, sll: str | None = "own") -> bytes:
    """A multicast NS; `sll` None leaves the option out."""
    address = "ff02::1:ff" + ":".join(_tail(target))
    option = icmpv6.nd_option_sla(hw_src=mac if sll == "own" else sll) if sll else None
    asks = icmpv6.icmpv6(type_=135, data=icmpv6.nd_neighbor(dst=target, option=option))
    return frame_of(ether6(mac, "33:33:ff:00:00:01"), ip6(source, address), asks)


def advertisement(mac: str, source: str, target: str, to: str, to_mac: str, tll: str = "own") -> bytes:
    option = icmpv6.nd_option_tla(hw_src=mac if tll == "own" else tll)
    tells = icmpv6.icmpv6(type_=136, data=icmpv6.nd_neighbor(res=3, dst=target, option=option))
    return frame_of(ether6(mac, to_mac), ip6(source, to), tells)


def datagram6(mac: str, source: str, to_mac: str, target: str, ports: tuple[int, int], body: bytes = b"") -> bytes:
    return frame_of(ether6(mac, to_mac), ip6(source, target, 17), udp.udp(*ports), body)


def echo6(mac: str, source: str, to_mac: str, target: str) -> bytes:
    ping = icmpv6.icmpv6(type_=128, data=icmpv6.echo(1, 1, b"hello"))
    return frame_of(ether6(mac, to_mac), ip6(source, target, hop_limit=64), ping)


def checksum6_is_right(frame: bytes) -> bool:
    """The upper layer's checksum over IPv6's pseudo header (RFC 8200, 8.1)."""
    body = frame[54:]
    words = frame[22:54] + struct.pack("!II", len(body), frame[20]) + body + b"\0" * (len(body) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def _tail(address: str) -> tuple[str, str]:
    text = IPv6Address(address).exploded.replace(":", "")
    return text[-6:-4], text[-4:]
