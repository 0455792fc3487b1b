"""What a packet is asked to be: --tcp 5432, --dns, or a ping. The options stand here once, for every command that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from hopsight_cli.client import WrongWords

WITH_PORTS, QUESTIONS = ("tcp", "udp", "sctp"), ("arp", "nd", "dhcp", "dns")
TO_ITSELF = ("dhcp", "dns")  # which know where they go
Tcp = Annotated[int | None, typer.Option("--tcp", metavar="PORT", min=1, max=65535, help="TCP to this port.")]
Udp = Annotated[int | None, typer.Option("--udp", metavar="PORT", min=1, max=65535, help="UDP to this port.")]
Sctp = Annotated[int | None, typer.Option("--sctp", metavar="PORT", min=1, max=65535, help="SCTP to this port.")]
Arp = Annotated[bool, typer.Option("--arp", help="Ask who has the IPv4 address.")]
Nd = Annotated[bool, typer.Option("--nd", help="Ask who has the IPv6 address.")]
Dhcp = Annotated[bool, typer.Option("--dhcp", help="Ask for an address; there is no target then.")]
Dns = Annotated[bool, typer.Option("--dns", help="Ask a name server; the gateway's if you name no target.")]


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol with its port."""

    protocol: str
    port_dst: int = 0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Service:
        """The service of a command's options, by their names; a ping when none was given. Raises WrongWords for more than one."""
        chosen = [cls(name, given[name]) for name in WITH_PORTS if given.get(name) is not None]
        chosen += [cls(name) for name in QUESTIONS if given.get(name)]
        if len(chosen) > 1:
            raise WrongWords(f"{' and '.join(one.protocol for one in chosen)} were given: choose one")
        return chosen[0] if chosen else cls("icmp")

    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"protocol": self.protocol, "port_dst": self.port_dst}
