"""What the hosts' lldpd hear, into `HostSeen` and the topology's history: the collector's, beside its looks at libvirt."""

from __future__ import annotations

from collections.abc import Sequence

from portal.topology.neighbours import lldp_to_json, neighbour_objects
from sdn.transport.lldpd import LldpSeen, read_lldp
from tasks.host_looks import HostLooks, LookedAt
from tasks.topology_history import note_seen

HOSTS_AT_ONCE = 8


async def keep_neighbours() -> None:
    """Look until cancelled."""
    await HostLooks(LldpReader(), HOSTS_AT_ONCE).run()


class LldpReader:
    """Asks hosts' lldpd."""

    def prepare(self, hosts: Sequence[LookedAt]) -> None:
        """Nothing: where the socket is, the host's folder says."""

    def read(self, host: LookedAt) -> LldpSeen:
        """What it has heard."""
        return read_lldp(host.rundir)

    def record(self, host_id: int, seen: LldpSeen) -> None:
        """Keep it."""
        record_lldp(host_id, seen)


def record_lldp(host_id: int, seen: LldpSeen) -> None:
    """Keep what the host's lldpd told, and what changed; a host that is gone meanwhile is passed over."""
    note_seen(host_id, "lldp", lambda _before: lldp_to_json(seen), neighbour_objects)
