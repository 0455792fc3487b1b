"""A gateway host's share in its external networks: whose MAC is it, and whose addresses are ours.

The next hop's MAC is asked for by ARP and kept; a packet to an unknown one waits here for the answer. Known ones are
asked again from time to time and forgotten when they stop answering. After a restart they are read back from the flows
that the switch has, so that no flow is taken away and no packet lost. An address that this host answers for since now is
announced, so that others send to it at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from sdn.compiler import Ours, Outside, outsides_of, vlan_tag
from sdn.controller.outside_frames import announcement, arp_question, parse_arp_answer
from sdn.model.addresses import Mac
from sdn.model.intent import Address, HostView, IntentSnapshot
from sdn.pipeline import TABLE_BY_NAME, Register
from sdn.reconcile import WireFlow, is_ours
from sdn.transport.codec import oxm

log = logging.getLogger("hopsight.controller")
Neighbour = tuple[int, IPv4Address]  # external network's id, address
Send = Callable[[bytes, tuple[str, ...]], None]  # a frame and the actions on it

ASK_EVERY_S = 1.0
RENEW_EVERY_S = 20.0
FORGET_AFTER_S = 65.0  # three renewals unanswered
GIVE_UP_AFTER_S = 10.0  # an address that packets were for and that never answered
WAITING_PACKETS = 8  # per address that is asked for
ASKED_ADDRESSES = 256  # so that a guest that scans the external network fills no memory
ANNOUNCE_TIMES = 3


@dataclass(slots=True)
class _Entry:
    asked_at: float = -RENEW_EVERY_S
    wanted_at: float = 0.0
    heard_at: float = 0.0
    mac: Mac | None = None
    waiting: list[bytes] = field(default_factory=list)


class Gateway:
    """One host's neighbours on external networks. `send` sends a frame out; all methods run on the event loop."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._entries: dict[Neighbour, _Entry] = {}
        self._announced: dict[tuple[int, Address, Mac], int] = {}

    def view(self, view: HostView) -> HostView:
        """The host's view with the neighbours that are known."""
        known = [(*key, entry.mac) for key, entry in sorted(self._entries.items()) if entry.mac is not None]
        return replace(view, neighbours=tuple(known))

    def recover(self, installed: Iterable[WireFlow], now: float) -> None:
        """Learn what an earlier controller knew from the flows that it left."""
        for key, mac in neighbours_of_flows(installed).items():
            entry = self._entries.setdefault(key, _Entry())
            if entry.mac is None:
                entry.mac, entry.heard_at = mac, now

    def tick(self, snapshot: IntentSnapshot, view: HostView, now: float, send: Send) -> None:
        """Ask for what is wanted and due, forget what is gone, announce what is new. Call it every second or so."""
        outsides = {outside.external.id: outside for outside in outsides_of(snapshot, view)}
        if view.external_ofport is None:
            return
        for outside in outsides.values():
            gateway = outside.external.gateway
            if gateway is not None:
                self._entries.setdefault((outside.external.id, gateway), _Entry()).wanted_at = now
        for key in [key for key, entry in self._entries.items() if self._is_over(key, entry, outsides, now)]:
            had = self._entries.pop(key)
            if had.mac is not None:
                self._changed()
        for key, entry in self._entries.items():
            every = ASK_EVERY_S if entry.mac is None or now - entry.heard_at > RENEW_EVERY_S else RENEW_EVERY_S
            if now - entry.asked_at >= every:
                self._ask(outsides[key[0]], key[1], view.external_ofport, entry, now, send)
        self._announce(outsides.values(), view.external_ofport, send)

    def missed(self, snapshot: IntentSnapshot, view: HostView, registers: Mapping[int, int], frame: bytes, now: float, send: Send) -> None:  # fmt: skip
        """A packet whose next hop is unknown: it waits, and the next hop is asked for."""
        key = (registers.get(Register.EXTERNAL, 0), IPv4Address(registers.get(Register.NEXT_HOP, 0)))
        outside = next((one for one in outsides_of(snapshot, view) if one.external.id == key[0]), None)
        if outside is None or view.external_ofport is None:
            return
        if key not in self._entries and len(self._entries) >= ASKED_ADDRESSES:
            return
        entry = self._entries.setdefault(key, _Entry())
        entry.wanted_at = now
        if entry.mac is not None:  # answered while the packet was on its way up
            self._release(outside, view.external_ofport, entry.mac, [frame], send)
            return
        entry.waiting = [*entry.waiting, frame][-WAITING_PACKETS:]
        if now - entry.asked_at >= ASK_EVERY_S:
            self._ask(outside, key[1], view.external_ofport, entry, now, send)

    def heard(self, snapshot: IntentSnapshot, view: HostView, registers: Mapping[int, int], frame: bytes, now: float, send: Send) -> None:  # fmt: skip
        """An ARP answer to one of ours; an answer that nobody asked for is no news."""
        answer = parse_arp_answer(frame)
        external_id = registers.get(Register.EXTERNAL, 0)
        entry = self._entries.get((external_id, answer.address)) if answer else None
        outside = next((one for one in outsides_of(snapshot, view) if one.external.id == external_id), None)
        if answer is None or entry is None or outside is None or view.external_ofport is None:
            return
        entry.heard_at = now
        waiting, entry.waiting = entry.waiting, []
        if entry.mac != answer.mac:
            log.info("host=%s neighbour=%s mac=%s", view.host, answer.address, answer.mac)
            entry.mac = answer.mac
            self._changed()
        self._release(outside, view.external_ofport, answer.mac, waiting, send)

    def _is_over(self, key: Neighbour, entry: _Entry, outsides: Mapping[int, Outside], now: float) -> bool:
        if key[0] not in outsides:
            return True
        if entry.mac is None:
            return now - entry.wanted_at > GIVE_UP_AFTER_S
        return now - entry.heard_at > FORGET_AFTER_S

    def _ask(self, outside: Outside, address: IPv4Address, ofport: int, entry: _Entry, now: float, send: Send) -> None:
        ours = _voice(outside)
        if ours is not None:
            entry.asked_at = now
            send(arp_question(ours.mac, ours.address, address), _out(outside, ofport))

    def _announce(self, outsides: Iterable[Outside], ofport: int, send: Send) -> None:
        wanted: dict[tuple[int, Address, Mac], Outside] = {}
        for outside in outsides:
            wanted |= {(outside.external.id, ours.address, ours.mac): outside for ours in outside.ours}
            wanted |= {(outside.external.id, ours.address, ours.mac): outside for ours in outside.ours6}
        self._announced = {key: times for key, times in self._announced.items() if key in wanted}
        for key, outside in wanted.items():
            times = self._announced.get(key, 0)
            if times < ANNOUNCE_TIMES:
                self._announced[key] = times + 1
                send(announcement(key[2], key[1]), _out(outside, ofport))

    def _release(self, outside: Outside, ofport: int, mac: Mac, frames: list[bytes], send: Send) -> None:
        for frame in frames:
            send(frame, (f"set_field:{mac}->eth_dst", *_out(outside, ofport)))


def _voice(outside: Outside) -> Ours | None:
    """The address that we ask as: the lowest router's own."""
    return next((ours for ours in outside.ours if ours.fixed is None), None)


def _out(outside: Outside, ofport: int) -> tuple[str, ...]:
    return (*vlan_tag(outside.external.vid), f"output:{ofport}")


def neighbours_of_flows(installed: Iterable[WireFlow]) -> dict[Neighbour, Mac]:
    """The neighbours that flows of the table external_neighbour were made of (see sdn.compiler.external)."""
    table, found = TABLE_BY_NAME["external_neighbour"].table_id, {}
    for flow in installed:
        if flow.table_id != table or not is_ours(flow.cookie):
            continue
        network, hop = (
            _field(flow.match, f"reg{int(register)}") for register in (Register.EXTERNAL, Register.NEXT_HOP)
        )
        at = flow.instructions.find(_SET_DESTINATION)
        if network is not None and hop is not None and at >= 0:
            start = at + len(_SET_DESTINATION)
            mac = Mac(":".join(f"{byte:02x}" for byte in flow.instructions[start : start + 6]))
            found[int.from_bytes(network), IPv4Address(hop)] = mac
    return found


_SET_DESTINATION = oxm("dl_dst", "00:00:00:00:00:00")[:4]


def _field(match: bytes, name: str) -> bytes | None:
    """An unmasked 32-bit field's value in encoded OXM fields."""
    head, at = oxm(name, "0")[:4], 0
    while at + 4 <= len(match):
        if match[at : at + 4] == head:
            return match[at + 4 : at + 8]
        at += 4 + match[at + 3]
    return None
