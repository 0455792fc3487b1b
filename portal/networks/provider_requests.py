"""Provider networks, for operators: a VLAN or the untagged segment behind `br-ex`, given to a team or shared by several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.networks.intent import bump_generation
from portal.networks.models import Network, NetworkKind
from portal.networks.network_requests import NetworkSpec, delete_network, store_network
from portal.networks.owners import network_named
from portal.networks.problems import Findings, check_name, shown
from portal.networks.segments import check_vid

KINDS = (NetworkKind.VLAN.value, NetworkKind.FLAT.value)


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider network as it was asked for. `teams` are slugs: the first one's it is, the others share it."""

    network: NetworkSpec
    teams: tuple[str, ...]


def create_provider(spec: ProviderSpec, actor: User | None = None) -> Network:
    """The stored network; audited. Raises NetworkProblem, and then nothing is stored."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        asked = spec.network
        if asked.kind not in KINDS:
            findings.add("kind", gettext("%(kind)s was given; vlan and flat are allowed") % {"kind": shown(asked.kind)})
        if asked.kind == NetworkKind.FLAT and asked.vid is not None:
            findings.add(
                "vid",
                gettext("VLAN %(vid)s was given; a flat network is untagged: leave it out, or choose vlan")
                % {"vid": asked.vid},
            )
        elif asked.kind == NetworkKind.VLAN and asked.vid is None:
            findings.add("vid", gettext("nothing was given; a VLAN network needs one of 1 to 4094"))
        else:
            findings.add("vid", check_vid(asked.vid))
        teams = _teams(spec.teams, findings)
        if not check_name(asked.name):
            _check_name(asked.name, teams[1:], findings)
        made = store_network(teams[0] if teams else None, replace(asked, vni=None), findings)
        made.shared_with.set(teams[1:])
        record("provider.create", teams[0], actor, _what(made), after=_audited(made))
        return made


def share_provider(network: Network, teams: Sequence[str], actor: User | None = None) -> None:
    """Share it with these teams (slugs) beside the one it is of, and no others; audited. Raises NetworkProblem."""
    with transaction.atomic():
        bump_generation()
        findings = Findings()
        chosen = [team for team in _teams(teams, findings, may_be_none=True) if team.pk != network.team_id]
        before = _audited(network)
        present = {team.pk for team in network.shared_with.all()}
        _check_name(network.name, [team for team in chosen if team.pk not in present], findings)
        for team in network.shared_with.exclude(pk__in=[team.pk for team in chosen]):
            names = list(network.ports.filter(vm__team=team).values_list("vm__name", flat=True)[:5])
            if names:
                findings.add(
                    "teams",
                    gettext("%(team)s has %(names)s on %(network)s: delete its VMs there first")
                    % {"team": team.name, "names": ", ".join(names), "network": network.name},
                )
        findings.stop()
        network.shared_with.set(chosen)
        record("provider.share", network.team, actor, _what(network), before=before, after=_audited(network))


def delete_provider(network: Network, actor: User | None = None) -> None:
    """Audited. Raises NetworkProblem with everything that still uses it, whichever team's."""
    with transaction.atomic():
        what, before = _what(network), _audited(network)
        delete_network(network)
        record("provider.delete", network.team, actor, what, before=before)


def _teams(slugs: Sequence[str], findings: Findings, *, may_be_none: bool = False) -> list[Team]:
    """The teams, in the order given; each that is not there is told."""
    wanted = list(dict.fromkeys(slug.strip() for slug in slugs if slug.strip()))
    known = {team.slug: team for team in Team.objects.filter(slug__in=[slug for slug in wanted if "\0" not in slug])}
    for slug in wanted:
        if slug not in known:
            findings.add("teams", gettext("%(slug)s was given; there is no team of that name") % {"slug": shown(slug)})
    if not wanted and not may_be_none:
        findings.add("teams", gettext("nothing was given; name the team that it is for, and those that share it"))
    return [known[slug] for slug in wanted if slug in known]


def _check_name(name: str, teams: Sequence[Team], findings: Findings) -> None:
    for team in teams:
        if network_named(team, name):
            findings.add(
                "name",
                gettext("%(team)s has a network %(name)s already: choose another name")
                % {"team": team.name, "name": name},
            )


def _what(network: Network) -> tuple[str, str, str]:
    return "network", str(network.uuid), network.name


def _audited(network: Network) -> dict[str, object]:
    teams = [network.team.slug, *network.shared_with.values_list("slug", flat=True)]
    return {"carried_by": network.carried_by, "teams": ", ".join(teams)}
