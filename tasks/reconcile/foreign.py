"""The domains of the hosts that are none of ours, read into rows, so that pages can say what adopting one would do."""

from __future__ import annotations

import hashlib
import logging
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from lxml import etree

from portal.compute.foreign import facts_to_json
from portal.compute.models import VM
from portal.hosts.models import ForeignDomain, Host
from tasks.hypervisor.domain_xml import is_ours
from tasks.hypervisor.driver import Hypervisor, HypervisorError, NicFacts
from tasks.hypervisor.foreign_xml import parse_foreign
from tasks.hypervisor.registry import hypervisor_of
from tasks.sagas.engine import Hypervisors

log = logging.getLogger("hopsight.foreign")
MOST = 500  # of one host
READING = 2  # raised when what is read of a definition grows


def look_at_all(hypervisors: Hypervisors = hypervisor_of) -> None:
    """Keep what each host's foreign domains are; a host that does not answer keeps what was read last."""
    for host in Host.objects.exclude(libvirt_uri__startswith="test:"):
        try:
            look_at(host, hypervisors(host))
        except HypervisorError as problem:
            log.warning("foreign domains not looked at host=%s problem=%s", host.name, problem)


def look_at(host: Host, hypervisor: Hypervisor) -> None:
    """Keep what is there now; what is gone, or has become a VM of ours, is taken away."""
    states = hypervisor.states()
    ours = {vm.domain for vm in VM.objects.filter(host=host).only("uuid", "adopted")}
    names = [name for name in sorted(states) if name not in ours and not name.startswith("hs-")][:MOST]
    facts = hypervisor.nic_facts() if names else NicFacts()
    for name in names:
        _keep(host, hypervisor, name, str(states[name].value), facts)
    ForeignDomain.objects.filter(host=host).exclude(name__in=names).delete()


def digest_of(definition: str) -> str:
    """Tells one definition from another; READING is in it, so that a newer way to read reads all once more."""
    return hashlib.sha256(f"{READING} {definition}".encode()).hexdigest()


def _keep(host: Host, hypervisor: Hypervisor, name: str, state: str, nic_facts: NicFacts) -> None:
    definition = hypervisor.definition(name)
    if not definition or is_ours(definition) or len(name) > 200:
        return
    digest = digest_of(definition)
    known = ForeignDomain.objects.filter(host=host, name=name)
    told: dict[str, object] = {"state": state, "seen_at": timezone.now()}
    if not known.filter(digest=digest).exists():
        facts = parse_foreign(definition, hypervisor.disk_sizes(name), nic_facts)
        uuid = UUID(etree.fromstring(definition).findtext("uuid") or "")
        told |= {"uuid": uuid, "facts": facts_to_json(facts), "digest": digest}
    with transaction.atomic():
        if not known.update(**told) and "digest" in told:
            ForeignDomain.objects.create(host=host, name=name, **told)
