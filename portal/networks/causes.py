"""Why a flow exists, in words: the row that its cookie names, for pages and traces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from portal.accounts.permissions import is_allowed
from portal.config.links import link
from portal.networks.mirrors import mirror_words
from portal.networks.models import Mirror, Network, Port, SecurityGroup, SecurityRule
from portal.networks.owners import owner_of
from portal.networks.routing_causes import explain_routing
from portal.networks.rule_words import rule_words
from sdn.model.cookie import Cause, CauseKind
from sdn.model.trace import Intent


def explain_causes(causes: Iterable[Cause]) -> dict[Cause, Intent]:
    """Each cause in words, in a query a kind; a row that is gone is said to be gone."""
    wanted = set(causes)
    port_ids = [cause.row_id for cause in wanted if cause.kind == CauseKind.PORT]
    network_ids = [cause.row_id for cause in wanted if cause.kind == CauseKind.NETWORK]
    ports = Port.objects.select_related("vm__team", "network__team").prefetch_related("addresses").in_bulk(port_ids)
    networks = Network.objects.select_related("team").in_bulk(network_ids)
    words = {cause: _words(cause, ports, networks) for cause in wanted}
    return words | _group_words(wanted) | _mirror_words(wanted) | explain_routing(wanted)


def for_operators(intent: Intent) -> Intent:
    """The same as operators read it: what is no team's is found on their page of it, and the team is named only where one has to
    be of it to open the row's page."""
    if intent.kind == "external_network" and intent.url:
        return replace(intent, url=link("external_networks"))
    if intent.kind == "port" and is_allowed("vm.look", None, True):
        return replace(intent, team="")
    return intent


def _words(cause: Cause, ports: dict[int, Port], networks: dict[int, Network]) -> Intent:
    kind = cause.kind.name.lower()
    if cause.kind == CauseKind.SYSTEM:
        return Intent(kind, 0, "Hopsight's own pipeline, the same on every host")
    if cause.kind == CauseKind.CAPTURE:
        return Intent(kind, cause.row_id, "A packet capture that is under way: it copies, and ends by itself")
    if cause.kind == CauseKind.PORT and cause.row_id in ports:
        port = ports[cause.row_id]
        address = next((row.address for row in port.addresses.all()), "no address")
        words = f"Port of {port.vm.name if port.vm else port.name} ({address}) on {port.network.name}"
        return Intent(kind, cause.row_id, words, link("vm", port.vm.uuid) if port.vm else "", owner_of(port).slug)
    if cause.kind == CauseKind.NETWORK and cause.row_id in networks:
        network = networks[cause.row_id]
        words = f"Network {network.name}, {network.carried_by}"
        team = "" if network.is_provider else network.team.slug  # whoever is on a provider network knows it
        return Intent(kind, cause.row_id, words, link("network", network.uuid), team)
    return Intent(kind, cause.row_id, f"A {kind} that is no longer there (id {cause.row_id})")


def _group_words(wanted: set[Cause]) -> dict[Cause, Intent]:
    rules = [cause for cause in wanted if cause.kind == CauseKind.SECURITY_RULE]
    groups = [cause for cause in wanted if cause.kind == CauseKind.SECURITY_GROUP]
    rule_rows = SecurityRule.objects.select_related("group__team", "remote_group").in_bulk(
        [one.row_id for one in rules]
    )
    group_rows = SecurityGroup.objects.select_related("team").in_bulk([one.row_id for one in groups])
    found = {}
    for cause in rules:
        if rule := rule_rows.get(cause.row_id):
            words = f"Rule “{rule_words(rule)}” of group {rule.group.name}"
            found[cause] = Intent(
                "security_rule", rule.pk, words, link("security_group", rule.group.uuid), rule.group.team.slug
            )
    for cause in groups:
        if group := group_rows.get(cause.row_id):
            words = f"Rules of group {group.name}"
            found[cause] = Intent(
                "security_group", group.pk, words, link("security_group", group.uuid), group.team.slug
            )
    return found


def _mirror_words(wanted: set[Cause]) -> dict[Cause, Intent]:
    causes = {cause.row_id: cause for cause in wanted if cause.kind == CauseKind.MIRROR}
    rows = Mirror.objects.select_related("source__vm__team", "source__network__team", "target__vm").in_bulk(
        list(causes)
    )
    return {
        causes[row.pk]: Intent("mirror", row.pk, mirror_words(row), link("mirrors"), owner_of(row.source).slug)
        for row in rows.values()
    }
