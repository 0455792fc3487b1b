"""The worker's warm shadow: the intent of now, and beside it an edited one, each loaded again by what changed.

One shadow a process, started when it is first asked for. Whoever asks holds it alone meanwhile: matrices take a second.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from portal.networks.intent import load_snapshot
from portal.networks.models import Port
from sdn.model.addresses import HostName, IfaceId
from sdn.model.flow import Flow
from sdn.model.intent import HostView, IntentSnapshot
from sdn.reach import Scene
from sdn.shadow import Shadow, ShadowError, ShadowWorld

NOW, EDITED = "a", "b"  # the prefixes of the two worlds' bridges
MOST_OFPORTS = 0xFF00


@dataclass(frozen=True)
class Stage:
    """A world with the scene it was loaded from."""

    scene: Scene
    world: ShadowWorld


class Desk:
    """The shadow and its worlds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shadow: Shadow | None = None
        self._worlds: dict[str, ShadowWorld] = {}

    @contextmanager
    def held(self) -> Iterator[Desk]:
        """The desk for oneself. A shadow that fails is thrown away, so that the next one to ask gets a new one."""
        with self._lock:
            try:
                yield self
            except ShadowError:
                self._close()
                raise

    def stage(
        self, snapshot: IntentSnapshot, views: tuple[HostView, ...], which: str = NOW,
        given: Mapping[str, tuple[Flow, ...]] | None = None,
    ) -> Stage:  # fmt: skip
        """The world of that name, loaded with the intent, some hosts with the given flows instead; only by who holds the desk."""
        if self._shadow is None:
            self._shadow = Shadow().__enter__()
        if which not in self._worlds:
            self._worlds[which] = ShadowWorld(self._shadow, which)
        world = self._worlds[which]
        world.load(snapshot, views, given)
        return Stage(Scene(snapshot, views, world.compiled), world)

    def close(self) -> None:
        """End the shadow's daemons."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        for world in self._worlds.values():
            world.close()
        self._worlds.clear()
        if self._shadow is not None:
            self._shadow.close()
            self._shadow = None


desk = Desk()


def read_intent() -> tuple[IntentSnapshot, tuple[HostView, ...]]:
    """The intent of now, and what each of its hosts has plugged as far as rows tell."""
    snapshot = load_snapshot()
    plugged: dict[str, list[tuple[IfaceId, int]]] = {str(host.name): [] for host in snapshot.hosts}
    rows = Port.objects.filter(ofport__isnull=False, host__isnull=False).values_list("uuid", "host__name", "ofport")
    for uuid, host, ofport in rows:
        if host in plugged and ofport:
            plugged[host].append((IfaceId(str(uuid)), ofport))
    gateways = {router.gateway_host for router in snapshot.routers}
    on_wire = any(network.is_provider for network in snapshot.networks)
    views = (
        _view(HostName(name), tuple(sorted(ports)), on_wire or HostName(name) in gateways, snapshot.needs_geneve)
        for name, ports in plugged.items()
    )
    return snapshot, tuple(views)


def _view(host: HostName, ports: tuple[tuple[IfaceId, int], ...], has_cable: bool, has_geneve: bool) -> HostView:
    """The switch's own ports get numbers that no plugged one has: rows do not tell them, and no verdict depends on them."""
    taken = {ofport for _, ofport in ports}
    free = (
        number for number in range(MOST_OFPORTS - 1, 0, -1) if number not in taken
    )  # far from where a new one is put
    tunnel, cable, geneve = next(free), next(free), next(free)
    return HostView(
        host, ports, tunnel, cable if has_cable else None, geneve_ofport=geneve if has_geneve else None
    )  # fmt: skip
