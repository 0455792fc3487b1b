"""The drop table's flows of a port: what the whole host's flows refuse is counted for each sender too.

Most refusals are a port's own flow and counted there (spoofed addresses, rules). These reasons are refused by flows that
every port of the host shares; the drop table tells the senders apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import flow, reg
from sdn.compiler.overlay import LocalPort
from sdn.model.flow import Flow
from sdn.pipeline import DROP_REASON_BY_NAME, SENDER_REASONS, Register


def port_drop_flows(port: LocalPort) -> Iterator[Flow]:
    """One counter for each reason that only the drop table can tell the port's packets by."""
    for name in SENDER_REASONS:
        match = {**port.mark, reg(Register.DROP_REASON): f"{DROP_REASON_BY_NAME[name].code:#x}"}
        yield flow("drop", 150, port.cause, match, ())
