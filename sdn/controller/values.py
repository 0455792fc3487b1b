"""What goes into the controller and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sdn.model.addresses import HostName, IfaceId


@dataclass(frozen=True, slots=True)
class HostConnection:
    """How to reach one host's switch.

    `rundir` is the switch's run folder as we see it; `controller_target` names a socket in it as the switch sees it.
    """

    name: HostName
    ovsdb: str
    datapath_type: str
    underlay_ip: str
    controller_target: str
    rundir: Path

    @property
    def listen_path(self) -> Path:
        """Where we listen for this host's switch."""
        return self.rundir / Path(self.controller_target.removeprefix("unix:")).name


class ControllerObserver(Protocol):
    """Told by the controller of what came true; implementations must not raise."""

    async def host_connected(self, host: HostName, dpid: int, ovs_version: str) -> None: ...

    async def host_lost(self, host: HostName, reason: str) -> None: ...

    async def ports_wired(
        self, host: HostName, generation: int, ofports: Mapping[IfaceId, int], interface_names: Mapping[IfaceId, str]
    ) -> None: ...

    async def ssh_answered(self, iface_id: IfaceId) -> None: ...
