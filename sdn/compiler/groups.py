"""Who is in a security group, as one network sees it: the addresses that a rule with a remote group stands for."""

from __future__ import annotations

from functools import cached_property
from ipaddress import ip_network

from sdn.model.intent import Cidr, IntentSnapshot, PortIntent, RuleIntent


class Membership:
    """The groups of one snapshot. Read lazily: most hosts need few of them."""

    def __init__(self, snapshot: IntentSnapshot) -> None:
        self._snapshot = snapshot
        self.groups = {group.id: group for group in snapshot.groups}
        self._seen: dict[tuple[int, int], tuple[Cidr, ...]] = {}

    def remotes(self, rule: RuleIntent, network_id: int) -> tuple[Cidr, ...] | None:
        """Where the other end may be, for ports of that network; None for anywhere.

        A remote group stands for its members' addresses, and the extra ones that they may use, on every network that a
        router joins to this one: elsewhere the same address is somebody else's.
        """
        if rule.group_id is not None:
            return tuple(cidr for cidr in self._of(rule.group_id, network_id) if cidr.version == rule.family)
        if rule.cidr is None or (rule.cidr.prefixlen == 0 and rule.cidr.version == rule.family):
            return None
        return (rule.cidr,) if rule.cidr.version == rule.family else ()

    def _of(self, group_id: int, network_id: int) -> tuple[Cidr, ...]:
        key = group_id, network_id
        if key not in self._seen:
            joined = self._joined.get(network_id, frozenset({network_id}))
            members = (port for port in self._members.get(group_id, ()) if port.network_id in joined)
            found: set[Cidr] = set()
            for port in members:
                found.update(ip_network(address) for address in port.addresses)
                found.update(pair.cidr for pair in port.pairs)
            self._seen[key] = tuple(found)
        return self._seen[key]

    @cached_property
    def _members(self) -> dict[int, list[PortIntent]]:
        members: dict[int, list[PortIntent]] = {}
        for port in self._snapshot.ports:
            for group_id in port.groups:
                members.setdefault(group_id, []).append(port)
        return members

    @cached_property
    def _joined(self) -> dict[int, frozenset[int]]:
        """Network → the networks that routers join it to, itself too."""
        joined: dict[int, frozenset[int]] = {}
        for router in self._snapshot.routers:
            ids = {leg.network_id for leg in router.ports}
            whole = frozenset(ids.union(*(joined.get(network_id, frozenset()) for network_id in ids)))
            joined.update(dict.fromkeys(whole, whole))
        return joined
