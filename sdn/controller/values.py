"""What goes into the controller and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sdn.model.addresses import HostName, IfaceId
from sdn.transport.tls import TlsFiles, problems_of


@dataclass(frozen=True, slots=True)
class HostConnection:
    """How to reach one host's switch.

    `rundir` is the switch's run folder as we see it; `controller_target` names a socket in it as the switch sees it, or
    is `ssl:ADDRESS:PORT` (or `tcp:`), where we listen for this host alone; port 0 is any that is free. Where that address is
    not this machine's own (a container's published port, NAT), `listen` is the one to listen at.
    """

    name: HostName
    ovsdb: str
    datapath_type: str
    underlay_ip: str
    controller_target: str
    rundir: Path
    tls: TlsFiles | None = None
    plain_tcp: bool = False
    listen: str = ""

    def problems(self) -> list[str]:
        """Why its remotes may not be used, all of it; empty when they may."""
        remotes = {"ovsdb": self.ovsdb, "controller_target": self.controller_target}
        return problems_of(remotes, self.tls, plain_tcp=self.plain_tcp)

    def sockets(self, token: str) -> tuple[Path, str]:
        """Where we listen for this host's switch, and what the switch is told; a new token is a new address."""
        name = f"{Path(self.controller_target.removeprefix('unix:')).stem}-{token}.sock"
        return self.rundir / name, f"unix:{Path(self.controller_target.removeprefix('unix:')).parent / name}"


class ControllerObserver(Protocol):
    """Told by the controller of what came true; only `ports_wired` may raise, and is called again then."""

    async def host_connected(self, host: HostName, dpid: int, ovs_version: str) -> None: ...

    async def meters_seen(self, host: HostName, has_meters: bool) -> None:
        """Whether the host's datapath can hold anybody to a rate limit; told on each connection."""

    async def host_lost(self, host: HostName, reason: str) -> None: ...

    async def bridges_seen(self, host: HostName, bridges: tuple[str, ...]) -> None: ...

    async def flows_removed(self, host: HostName, count: int, lines: tuple[str, ...]) -> None:
        """Flows with our mark that no intent ever asked for are taken away; `lines` are some of them in ovs-ofctl's words."""

    async def ports_wired(
        self, host: HostName, generation: int, ofports: Mapping[IfaceId, int], interface_names: Mapping[IfaceId, str]
    ) -> None: ...

    async def ssh_answered(self, iface_id: IfaceId) -> None: ...
