"""What a packet is asked to be: --tcp 5432, --udp 53, or a ping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from hopsight_cli.client import WrongWords

Tcp = Annotated[int | None, typer.Option("--tcp", metavar="PORT", min=1, max=65535, help="TCP to this port.")]
Udp = Annotated[int | None, typer.Option("--udp", metavar="PORT", min=1, max=65535, help="UDP to this port.")]


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol with its port."""

    protocol: str
    port_dst: int = 0

    @classmethod
    def of(cls, tcp: int | None, udp: int | None, arp: bool = False) -> Service:
        """The service of the options; a ping when none was given. Raises WrongWords for more than one."""
        given = [("tcp", tcp), ("udp", udp), ("arp", 0 if arp else None)]
        chosen = [cls(name, port) for name, port in given if port is not None]
        if len(chosen) > 1:
            raise WrongWords(f"{' and '.join(one.protocol for one in chosen)} were given: choose one")
        return chosen[0] if chosen else cls("icmp")

    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        return {"protocol": self.protocol, "port_dst": self.port_dst}
