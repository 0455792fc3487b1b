"""What is kept over time, as data: kinds of object, their fields with units, and for how long at which step.

A kind's fields are stored by position, so that a field's place is for life: new ones are added at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop as _

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
    Field("sent_bps", _("sent"), "bit/s"),
    Field("received_bps", _("received"), "bit/s"),
    Field("sent_pps", _("packets sent"), "packets/s"),
    Field("received_pps", _("packets received"), "packets/s"),
    Field("lost_pps", _("lost at the port"), "packets/s"),
    Field("dropped_pps", _("dropped"), "packets/s"),
)
VM = Kind(
    1,
    "vm",
    (
        Field("cpu_percent", _("CPU, of all its vCPUs"), "percent"),
        Field("memory_bytes", _("memory held on the host"), "bytes"),
        Field("disk_read_bytes_s", _("read"), "bytes/s"),
        Field("disk_write_bytes_s", _("written"), "bytes/s"),
        Field("sent_bps", _("sent"), "bit/s"),
        Field("received_bps", _("received"), "bit/s"),
    ),
)
HOST = Kind(
    2,
    "host",
    (
        Field("cpu_percent", _("CPU, of all processors"), "percent"),
        Field("memory_bytes", _("memory in use"), "bytes"),
        Field("running_vms", _("running VMs"), ""),
        Field("sent_bps", _("sent by guests"), "bit/s"),
        Field("received_bps", _("received by guests"), "bit/s"),
    ),
)
PORT = Kind(3, "port", _TRAFFIC)
TEAM = Kind(4, "team", _TRAFFIC)
TEAM_VMS = Kind(
    5,
    "team_vms",
    (
        Field("cpu_cores", _("processors busy"), ""),
        Field("memory_bytes", _("memory held on hosts"), "bytes"),
        Field("running_vms", _("running VMs"), ""),
        Field("disk_read_bytes_s", _("read"), "bytes/s"),
        Field("disk_write_bytes_s", _("written"), "bytes/s"),
    ),
)
DROPS = Kind(6, "drops", tuple(Field(one.name, one.words, "packets/s") for one in DROP_REASONS))
KINDS: tuple[Kind, ...] = (VM, HOST, PORT, TEAM, TEAM_VMS, DROPS)

HOUR, DAY = 3600, 86400
STEPS: tuple[Step, ...] = (Step(10, HOUR), Step(60, DAY), Step(600, 30 * DAY))
SAMPLE_S = STEPS[0].step_s
RANGES: tuple[Range, ...] = (
    Range("1h", _("1 hour"), HOUR),
    Range("6h", _("6 hours"), 6 * HOUR),
    Range("24h", _("24 hours"), DAY),
    Range("7d", _("7 days"), 7 * DAY),
    Range("30d", _("30 days"), 30 * DAY),
)
RANGE_BY_NAME = {one.name: one for one in RANGES}


def step_for(start_s: int, now_s: int) -> Step:
    """The finest step that still has what began then."""
    slack = STEPS[0].step_s * 2  # what has just been asked for may be older than an hour by the time it is read
    return next((step for step in STEPS if start_s >= now_s - step.keep_s - slack), STEPS[-1])
