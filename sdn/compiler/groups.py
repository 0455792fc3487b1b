"""Who is in a security group, as one network sees it: the addresses that a rule with a remote group stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from sdn.model.intent import Cidr, PortIntent, RouterIntent, RuleIntent

Texts = frozenset[str]  # addresses and prefixes as matches have them
NOBODY: Texts = frozenset()
Members = dict[tuple[int, int], Texts]  # group, IP family → addresses


class Membership:
    """The groups of one intent. Read lazily: most hosts need few of them; what `before` knew and still holds is kept."""

    def __init__(
        self,
        ports_of: Mapping[int, tuple[PortIntent, ...]],
        joined: Mapping[int, frozenset[int]],
        before: Membership | None = None,
    ) -> None:
        self._ports_of, self._joined = ports_of, joined
        # Copies, for another thread may be reading the one before.
        self._members: dict[int, tuple[tuple[PortIntent, ...], Members]] = dict(before._members) if before else {}
        self._unions: dict[tuple[int, int, int], tuple[tuple[Texts, ...], Texts]] = (
            dict(before._unions) if before else {}
        )

    def remotes(self, rule: RuleIntent, network_id: int) -> Texts:
        """Where the other end may be for ports of that network, where the rule names a remote group.

        It stands for its members' addresses, and the extra ones that they may use, on every network that a router joins
        to this one: elsewhere the same address is somebody else's.
        """
        assert rule.group_id is not None
        which = rule.group_id, rule.family
        key = *which, network_id
        parts = tuple(self._of(one).get(which, NOBODY) for one in sorted(self._joined.get(network_id, {network_id})))
        known = self._unions.get(key)
        if known is None or known[0] != parts:
            whole = parts[0] if len(parts) == 1 else NOBODY.union(*parts)
            known = self._unions[key] = parts, whole
        return known[1]

    def _of(self, network_id: int) -> Members:
        ports = self._ports_of.get(network_id, ())
        known = self._members.get(network_id)
        if known is None or known[0] is not ports:
            known = self._members[network_id] = ports, _members(ports)
        return known[1]


def joined_networks(routers: Iterable[RouterIntent]) -> dict[int, frozenset[int]]:
    """Network → the networks that routers join it to, itself too."""
    joined: dict[int, frozenset[int]] = {}
    for router in routers:
        ids = {leg.network_id for leg in router.ports}
        whole = frozenset(ids.union(*(joined.get(network_id, frozenset()) for network_id in ids)))
        joined.update(dict.fromkeys(whole, whole))
    return joined


def text_of(cidr: Cidr) -> str:
    """As a match has it: a single address without its length."""
    return str(cidr.network_address if cidr.prefixlen == cidr.max_prefixlen else cidr)


def _members(ports: Iterable[PortIntent]) -> Members:
    found: dict[tuple[int, int], set[str]] = {}
    for port in ports:
        for group_id in port.groups:
            for address in port.addresses:
                found.setdefault((group_id, address.version), set()).add(str(address))
            for pair in port.pairs:
                found.setdefault((group_id, pair.cidr.version), set()).add(text_of(ip_network(pair.cidr)))
    return {key: frozenset(texts) for key, texts in found.items()}
