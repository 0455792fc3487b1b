"""Real frames through a private switch: put in at a port, caught as they leave, read back with os-ken."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, packet, tcp, udp

from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.unixctl import UnixctlClient
from tests.waiting import wait_for


@dataclass(frozen=True)
class Out:
    """A frame that left by a port."""

    port: int
    frame: packet.Packet

    def get(self, kind: type):  # type: ignore[no-untyped-def, type-arg]
        found = self.frame.get_protocol(kind)
        assert found is not None, f"no {kind.__name__} in {self.frame}"
        return found

    @property
    def ends(self) -> tuple[str, str]:
        """Source and destination address."""
        header = self.frame.get_protocol(ipv6.ipv6) or self.get(ipv4.ipv4)
        return header.src, header.dst


class Capture:
    """What a dummy port wrote to its `tx_pcap`, from where the last look ended."""

    def __init__(self, path: Path, port: int = 0) -> None:
        self._path = path
        self._port = port
        self._at = 24  # behind the file's header

    def new(self) -> list[Out]:
        """The frames since the last look."""
        raw = self._path.read_bytes() if self._path.exists() else b""
        found = []
        while self._at + 16 <= len(raw):
            size = struct.unpack_from("=I", raw, self._at + 8)[0]
            if self._at + 16 + size > len(raw):
                break
            found.append(Out(self._port, packet.Packet(raw[self._at + 16 : self._at + 16 + size])))
            self._at += 16 + size
        return found


class Bench:
    """br-int of a shadow with ports that catch what leaves by them."""

    def __init__(self, shadow: Shadow, ports: Iterable[int], flows: str, marker: tuple[int, packet.Packet]) -> None:
        """`marker` is a port and an ARP question that is answered there by flow, to know when all is done."""
        self.shadow = shadow
        self._marker = marker
        self._late: list[Out] = []
        paths = {number: shadow.rundir / f"p{number}.pcap" for number in ports}
        self._captures = [Capture(path, number) for number, path in paths.items()]
        plugs = (ShadowPort(f"p{number}", number, options={"tx_pcap": str(path)}) for number, path in paths.items())
        shadow.load([ShadowBridge("br-int", tuple(plugs), flows)])
        self._client = UnixctlClient(shadow.unixctl)

    def send(self, port: int, frame: packet.Packet) -> list[Out]:
        """What leaves by which port when the frame comes in; the answer is complete."""
        self._put(port, frame)
        caught: list[Out] = []
        for _ in range(2):  # ports are read in turn: behind the second mark nothing is still on its way
            self._put(self._marker[0], self._marker[1])
            caught += wait_for(self._behind_mark, 10, "the frame behind ours is answered", 0.005)
        return [out for out in caught if not self._is_mark(out)]

    def _put(self, port: int, frame: packet.Packet) -> None:
        frame.serialize()
        self._client.run("netdev-dummy/receive", f"p{port}", bytes(frame.data).hex())

    def _behind_mark(self) -> list[Out]:
        self._late += [out for capture in self._captures for out in capture.new()]
        if not any(self._is_mark(out) for out in self._late):
            return []
        found, self._late = self._late, []
        return found

    def _is_mark(self, out: Out) -> bool:
        asked = out.frame.get_protocol(arp.arp)
        return out.port == self._marker[0] and asked is not None and asked.opcode == arp.ARP_REPLY

    def forget_connections(self) -> None:
        """As if no packet had been there yet."""
        self._client.run("dpctl/flush-conntrack")

    def set_flows(self, flows: str) -> None:
        """Other flows, in force: what the datapath remembers of the old ones is forgotten."""
        self.shadow.set_flows("br-int", flows)
        self._client.run("revalidator/wait")
        self._client.run("revalidator/purge")


def ip_frame(src: tuple[str, object], dst: tuple[str, object], *layers: object, ttl: int = 64) -> packet.Packet:
    """An IPv4 frame from (MAC, address) to (MAC, address)."""
    frame = packet.Packet()
    frame.add_protocol(ethernet.ethernet(dst[0], src[0], 0x0800))
    protocol = {icmp.icmp: 1, tcp.tcp: 6, udp.udp: 17}[type(layers[0])]
    frame.add_protocol(ipv4.ipv4(src=str(src[1]), dst=str(dst[1]), proto=protocol, ttl=ttl))
    for layer in layers:
        frame.add_protocol(layer)
    return frame


def arp_frame(op: int, sender: tuple[str, object], target: tuple[str, object]) -> packet.Packet:
    """An ARP frame; a question is a broadcast."""
    frame = packet.Packet()
    frame.add_protocol(ethernet.ethernet("ff:ff:ff:ff:ff:ff" if op == 1 else target[0], sender[0], 0x0806))
    frame.add_protocol(arp.arp(opcode=op, src_mac=sender[0], src_ip=str(sender[1]), dst_mac=target[0], dst_ip=str(target[1])))  # fmt: skip
    return frame


def echo(identity: int = 1, sequence: int = 1, *, reply: bool = False) -> icmp.icmp:
    return icmp.icmp(0 if reply else 8, 0, 0, icmp.echo(identity, sequence, b"hopsight"))


def ip6_frame(src: tuple[str, object], dst: tuple[str, object], *layers: object, hops: int = 64) -> packet.Packet:
    """An IPv6 frame from (MAC, address) to (MAC, address)."""
    frame = packet.Packet()
    frame.add_protocol(ethernet.ethernet(dst[0], src[0], 0x86DD))
    following = {icmpv6.icmpv6: 58, tcp.tcp: 6, udp.udp: 17}[type(layers[0])]
    frame.add_protocol(ipv6.ipv6(src=str(src[1]), dst=str(dst[1]), nxt=following, hop_limit=hops))
    for layer in layers:
        frame.add_protocol(layer)
    return frame
