"""What a packet did on one switch, as values: the look-ups it met and every place where a copy of it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sdn.model.cookie import CauseKind
from sdn.pipeline import TABLE_BY_NAME
from sdn.trace.parser import Lookup

DROP_TABLE = TABLE_BY_NAME["drop"].table_id
ExitKind = Literal["output", "in_port", "controller", "normal", "drop", "refused"]


@dataclass(slots=True)
class Seen:
    """One look-up with the fields before it and what it changed."""

    lookup: Lookup
    before: dict[str, str]
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    state: str = ""  # ct_state of its pass


@dataclass(slots=True)
class Exit:
    """One place where a copy of the packet leaves the bridge or ends; `fields` is the copy as it is there."""

    kind: ExitKind
    ofport: int
    lookup: Lookup
    fields: dict[str, str]
    why: str = ""
    notes: list[str] = field(default_factory=list)
    datapath: str = ""  # its pass's datapath actions
    aside: CauseKind | None = None  # what made the copy that it is of, where that is nothing of the packet's own way

    @property
    def tun_id(self) -> str:
        return self.fields.get("tun_id", "0")

    @property
    def tun_dst(self) -> str:
        return self.fields.get("tun_dst", "")


@dataclass(slots=True)
class Walk:
    """What the packet did on one bridge, and on those patched to it."""

    bridge: str = ""
    seen: list[Seen] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    in_port: int = 0
    zones: list[int] = field(default_factory=list)  # of each conntrack pass, in order
    flows: list[dict[str, str]] = field(default_factory=list)  # of each conntrack pass: the packet as it is there

    @property
    def asides(self) -> list[Exit]:
        """The ends of copies that a mirror made."""
        return [exit_ for exit_ in self.exits if exit_.aside == CauseKind.MIRROR]

    @property
    def outputs(self) -> list[int]:
        """The ofports that copies really leave by, in order."""
        return [exit_.ofport for exit_ in self.leaving if exit_.kind in ("output", "in_port")]

    @property
    def leaving(self) -> list[Exit]:
        """The exits by which the packet, or a flood's copy of it, goes on."""
        kinds = ("output", "in_port", "controller", "normal")
        return [exit_ for exit_ in self.exits if exit_.kind in kinds and exit_.aside is None]

    @property
    def ended(self) -> list[Exit]:
        """The exits at which a copy ends."""
        return [exit_ for exit_ in self.exits if exit_.kind in ("drop", "refused") and exit_.aside is None]

    def steps_of(self, bridge: str) -> list[Seen]:
        """The look-ups in one bridge's tables."""
        return [seen for seen in self.seen if seen.lookup.bridge == bridge]
