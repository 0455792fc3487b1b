"""What the rows say of hosts, their VMs and their foreign domains, for the collector's looks.

Hundreds of hosts are looked at every two seconds, and mostly nothing is other than it was. So the rows of all hosts are read
at once, at most once a second, by whichever host's thread comes first; a host whose look agrees with them costs the database
nothing. Rows that old may disagree with what a saga wrote since: whoever writes upon a disagreement asks the rows again, and
what an event of libvirt's tells is compared with rows read then.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from portal.compute.models import VM, VMState, domain_name
from portal.hosts.models import Host
from portal.topology.models import HostSeen
from tasks.hypervisor.driver import DomainState

SHARED_S = 1.0
OURS = (VMState.CREATING, VMState.DELETING, VMState.DELETED)  # these states are the sagas' to change


@dataclass(frozen=True, slots=True)
class HostRows:
    """Everything of all hosts at one instant."""

    hosts: Mapping[int, Host]
    states: Mapping[int, Mapping[str, str]]  # host → domain → state, of VMs that the collector may change
    domains: frozenset[str]  # that we named: one of a VM that is migrated is on a host that its row does not say yet
    adopted: Mapping[int, frozenset[str]]  # host → domains that somebody else named
    foreign: Mapping[int, Sequence[Mapping[str, str]]]

    def agree(self, host_id: int, seen: Mapping[str, DomainState]) -> bool:
        """Whether the host's domains are what the rows say, ours and foreign ones."""
        rows, adopted = self.states.get(host_id, {}), self.adopted.get(host_id, frozenset())
        if any(as_vm_state(seen.get(domain, DomainState.ABSENT)) != state for domain, state in rows.items()):
            return False
        foreign = sorted((name, seen[name].value) for name in seen if name not in self.domains and name not in adopted)
        return foreign == [(one["name"], one["state"]) for one in self.foreign.get(host_id, ())]


def as_vm_state(seen: DomainState) -> VMState:
    """What a VM is whose domain is so: one without a domain is not known."""
    return VMState.UNKNOWN if seen is DomainState.ABSENT else VMState(seen.value)


def read_host_rows() -> HostRows:
    """The rows now, by three queries however many hosts there are."""
    states: dict[int, dict[str, str]] = defaultdict(dict)
    adopted: dict[int, set[str]] = defaultdict(set)
    domains = set()
    for uuid, told, host_id, state in VM.objects.values_list("uuid", "adopted", "host", "state").iterator(1000):
        domain = domain_name(uuid, told)
        if not told:
            domains.add(domain)
        elif host_id is not None:
            adopted[host_id].add(domain)
        if host_id is not None and state not in OURS:
            states[host_id][domain] = state
    foreign = dict(HostSeen.objects.values_list("host", "foreign_domains"))
    hosts = {host.pk: host for host in Host.objects.all()}
    kept = {host_id: frozenset(names) for host_id, names in adopted.items()}
    return HostRows(hosts, states, frozenset(domains), kept, foreign)


@dataclass(slots=True)
class SharedRows:
    """The rows for many threads, and which hosts answered since that was written down."""

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows: HostRows | None = None
    _read_at: float = 0.0
    _answered: set[int] = field(default_factory=set)
    _answers_lock: threading.Lock = field(default_factory=threading.Lock)  # not the other: a host waits for no query

    def rows(self) -> HostRows:
        """Rows that are at most `SHARED_S` old."""
        with self._lock:
            if self._rows is None or self.clock() - self._read_at > SHARED_S:
                self._rows, self._read_at = read_host_rows(), self.clock()
            return self._rows

    def answered(self, host_id: int) -> None:
        """The host is there: `write` says so in its row."""
        with self._answers_lock:
            self._answered.add(host_id)

    def write(self) -> None:
        """Note for all hosts at once that they answered just now."""
        with self._answers_lock:
            hosts, self._answered = self._answered, set()
        if hosts:
            Host.objects.filter(pk__in=hosts).update(libvirt_seen_at=timezone.now())
