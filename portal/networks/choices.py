"""Which port is meant: chosen of a list where it is short, else typed as people know it."""

from __future__ import annotations

from ipaddress import ip_address
from uuid import UUID

from django.db.models import QuerySet

from portal.networks.models import Port


def port_named(ports: QuerySet[Port], text: str) -> Port | None:
    """The one of these ports of that uuid, or, without one, the first of that address or name; None where there is none."""
    given = text.replace("\0", "?").strip()[:63]
    try:
        return ports.filter(uuid=UUID(given)).first()
    except ValueError:
        by_address = ports.filter(addresses__address=given).first() if is_ip(given) else None
        return by_address or ports.filter(name=given).order_by("pk").first()


def is_ip(text: str) -> bool:
    """Whether it is an address at all: PostgreSQL compares a column of addresses with nothing else."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
