"""What is kept over time, as data: kinds of object, their fields with units, and for how long at which step.

A kind's fields are stored by position, so that a field's place is for life: new ones are added at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdn.pipeline import DROP_REASONS


@dataclass(frozen=True, slots=True)
class Field:
    """One line over time. `unit` is "percent", "bytes", "bytes/s", "bit/s", "packets/s" or "" for a plain number."""

    name: str
    words: str
    unit: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of object whose fields are sampled. `code` is what rows hold."""

    code: int
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Samples of `step_s` seconds, kept for `keep_s`."""

    step_s: int
    keep_s: int


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time up to now that pages offer."""

    name: str
    words: str
    span_s: int


_TRAFFIC = (
    Field("sent_bps", "sent", "bit/s"),
    Field("received_bps", "received", "bit/s"),
    Field("sent_pps", "packets sent", "packets/s"),
    Field("received_pps", "packets received", "packets/s"),
    Field("lost_pps", "lost at the port", "packets/s"),
    Field("dropped_pps", "dropped", "packets/s"),
)
VM = Kind(
    1,
    "vm",
    (
        Field("cpu_percent", "CPU, of all its vCPUs", "percent"),
        Field("memory_bytes", "memory held on the host", "bytes"),
        Field("disk_read_bytes_s", "read", "bytes/s"),
        Field("disk_write_bytes_s", "written", "bytes/s"),
        Field("sent_bps", "sent", "bit/s"),
        Field("received_bps", "received", "bit/s"),
    ),
)
HOST = Kind(
    2,
    "host",
    (
        Field("cpu_percent", "CPU, of all processors", "percent"),
        Field("memory_bytes", "memory in use", "bytes"),
        Field("running_vms", "running VMs", ""),
        Field("sent_bps", "sent by guests", "bit/s"),
        Field("received_bps", "received by guests", "bit/s"),
    ),
)
PORT = Kind(3, "port", _TRAFFIC)
TEAM = Kind(4, "team", _TRAFFIC)
TEAM_VMS = Kind(
    5,
    "team_vms",
    (
        Field("cpu_cores", "processors busy", ""),
        Field("memory_bytes", "memory held on hosts", "bytes"),
        Field("running_vms", "running VMs", ""),
        Field("disk_read_bytes_s", "read", "bytes/s"),
        Field("disk_write_bytes_s", "written", "bytes/s"),
    ),
)
DROPS = Kind(6, "drops", tuple(Field(one.name, one.words, "packets/s") for one in DROP_REASONS))
KINDS: tuple[Kind, ...] = (VM, HOST, PORT, TEAM, TEAM_VMS, DROPS)

HOUR, DAY = 3600, 86400
STEPS: tuple[Step, ...] = (Step(10, HOUR), Step(60, DAY), Step(600, 30 * DAY))
SAMPLE_S = STEPS[0].step_s
RANGES: tuple[Range, ...] = (
    Range("1h", "1 hour", HOUR),
    Range("6h", "6 hours", 6 * HOUR),
    Range("24h", "24 hours", DAY),
    Range("7d", "7 days", 7 * DAY),
    Range("30d", "30 days", 30 * DAY),
)
RANGE_BY_NAME = {one.name: one for one in RANGES}


def step_for(start_s: int, now_s: int) -> Step:
    """The finest step that still has what began then."""
    slack = STEPS[0].step_s * 2  # what has just been asked for may be older than an hour by the time it is read
    return next((step for step in STEPS if start_s >= now_s - step.keep_s - slack), STEPS[-1])
