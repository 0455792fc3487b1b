"""The drop table's flows of a port: what the whole host's flows refuse is counted for each sender too.

Most refusals are a port's own flow and counted there (spoofed addresses, rules). These reasons are refused by flows that
every port of the host shares; the drop table tells the senders apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sdn.compiler.build import flow, reg
from sdn.compiler.overlay import LocalPort
from sdn.model.flow import Flow
from sdn.model.meter import SAMPLE_METER
from sdn.pipeline import DROP_REASON_BY_NAME, DROP_REASONS, SENDER_REASONS, Register


def port_drop_flows(port: LocalPort) -> Iterator[Flow]:
    """One counter for each reason that only the drop table can tell the port's packets by."""
    for name in SENDER_REASONS:
        match = {**port.mark, reg(Register.DROP_REASON): f"{DROP_REASON_BY_NAME[name].code:#x}"}
        yield flow("drop", 150, port.cause, match, ())


def sample_flows(ports: Iterable[LocalPort]) -> Iterator[Flow]:
    """A metered copy of what is dropped for these ports, to the controller: a flow a reason, which counts as its own does.

    What a port refused to take has its sender's register too, so it is looked for at a lower priority.
    """
    copy = (f"meter:{SAMPLE_METER}", "CONTROLLER:65535")
    for port in ports:
        for reason in DROP_REASONS:
            match = {**port.mark, reg(Register.DROP_REASON): f"{reason.code:#x}"}
            yield flow("drop", 180, port.cause, match, copy, counts=True)
        refused = {
            reg(Register.TARGET_PORT): f"{port.intent.id & 0xFFFFFFFF:#x}",
            reg(Register.DROP_REASON): f"{DROP_REASON_BY_NAME['ingress_denied'].code:#x}",
        }
        yield flow("drop", 179, port.cause, refused, copy, counts=True)
