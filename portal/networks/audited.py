"""What the audit is told of changes of networks; in the transaction of the change, with the request's person."""

from __future__ import annotations

from typing import Any

from portal.accounts.audit import record
from portal.networks.models import ExternalNetwork, FloatingAddress, Network, Router, SecurityGroup

Row = Network | Router | FloatingAddress | ExternalNetwork | SecurityGroup
NOUNS: dict[type, str] = {
    Network: "network", Router: "router", FloatingAddress: "floating", ExternalNetwork: "external", SecurityGroup: "group",
}  # fmt: skip


def audit(action: str, row: Row, **change: dict[str, Any] | None) -> None:
    """`<noun>.<action>` of the row; `before` and `after` are the change. A row is still there when it is told."""
    noun = NOUNS[type(row)]
    name = row.address.address if isinstance(row, FloatingAddress) else row.name
    team = None if isinstance(row, ExternalNetwork) else row.team
    record(f"{noun}.{action}", team, None, (noun, str(row.uuid), name), **change)
