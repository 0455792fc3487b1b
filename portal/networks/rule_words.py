"""Rules in words, the same on pages, in traces and in refusals."""

from __future__ import annotations

from portal.networks.models import SecurityRule

KNOWN = {("tcp", 22): "SSH", ("tcp", 80): "HTTP", ("tcp", 443): "HTTPS", ("udp", 53): "DNS", ("icmp", 8): "ping"}


def service_words(rule: SecurityRule) -> str:
    """`tcp/22`, `udp/5000-5010`, `icmp type 8`, `any protocol`; with the family where it is IPv6."""
    first, last = rule.number_first, rule.number_last
    if rule.protocol == "any":
        words = "any protocol"
    elif first is None:
        words = rule.protocol
    elif rule.protocol == "icmp":
        words = f"icmp type {first}" + (f" code {last}" if last is not None else "")
    else:
        words = f"{rule.protocol}/{first}" + (f"-{last}" if last != first else "")
    return f"{words} over IPv6" if rule.family == 6 else words


def remote_words(rule: SecurityRule) -> str:
    """Who the other end may be."""
    if rule.remote_group is not None:
        same = rule.remote_group_id == rule.group_id
        return "members of the same group" if same else f"members of {rule.remote_group.name}"
    return rule.cidr or "anywhere"


def rule_words(rule: SecurityRule) -> str:
    """`tcp/22 from anywhere`, `any protocol to 10.0.0.0/8`."""
    return f"{service_words(rule)} {'from' if rule.direction == 'ingress' else 'to'} {remote_words(rule)}"


def known_name(rule: SecurityRule) -> str:
    """What people call the service, when it is one they know."""
    single = rule.number_first is not None and (rule.number_last in (None, rule.number_first))
    return KNOWN.get((rule.protocol, rule.number_first or 0), "") if single else ""
