"""Who may do what, as data: role × object × action. Views, API, sockets, disabled reasons and tests read this page.

A right is `object.action`; `RIGHTS` names the least that is needed for it. Which right a page, an API operation or a socket
topic asks for is in portal/accounts/entries.py.
"""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext, gettext_noop


class Needs(StrEnum):
    """The least that somebody must be, for a right over an object of a team (or over none)."""

    NOTHING = "nothing"  # no log-in either
    PERSON = "person"  # logged in; the object is one's own
    VIEWER = "viewer"
    MEMBER = "member"
    OWNER = "owner"
    OPERATOR = "operator"
    OWNER_OR_OPERATOR = "owner, or an operator"
    VIEWER_OR_OPERATOR = "viewer, or an operator"


TEAM_RANK: dict[str, int] = {
    Needs.VIEWER: 0,
    Needs.VIEWER_OR_OPERATOR: 0,
    Needs.MEMBER: 1,
    Needs.OWNER: 2,
    Needs.OWNER_OR_OPERATOR: 2,
}
# As a refusal says them; gathered for the translations, a role's word is its own name.
ROLE_WORDS = (
    gettext_noop("viewer"), gettext_noop("member"), gettext_noop("owner"),
    gettext_noop("owner, or an operator"), gettext_noop("viewer, or an operator"),
)  # fmt: skip
OPERATORS_TOO = (Needs.OWNER_OR_OPERATOR, Needs.VIEWER_OR_OPERATOR)

RIGHTS: dict[str, Needs] = {
    "login.open": Needs.NOTHING,
    "person.see": Needs.PERSON,
    "person.change": Needs.PERSON,
    "token.end": Needs.PERSON,  # the one that one came with
    "service.see": Needs.VIEWER,
    "service.manage": Needs.OWNER,
    "invitation.accept": Needs.PERSON,
    "status.see": Needs.PERSON,
    "team.see": Needs.VIEWER,
    "team.leave": Needs.VIEWER,
    "team.manage": Needs.OWNER,
    "vm.see": Needs.VIEWER,
    "vm.look": Needs.VIEWER_OR_OPERATOR,  # its page, to run the host it is on; no console, no list, no change
    "vm.create": Needs.MEMBER,
    "vm.power": Needs.MEMBER,
    "vm.delete": Needs.MEMBER,
    "vm.change": Needs.MEMBER,
    "snippet.see": Needs.VIEWER,
    "snippet.change": Needs.MEMBER,
    "console.see": Needs.VIEWER,
    "console.write": Needs.MEMBER,
    "image.see": Needs.VIEWER,
    "image.change": Needs.MEMBER,
    "image.look": Needs.VIEWER_OR_OPERATOR,  # its page; who else's it is, and where copies of it lie
    "image.share": Needs.OWNER,  # other teams get what is in it
    "image.publish": Needs.OPERATOR,  # every team is offered it: somebody vouches for what is in it
    "volume.see": Needs.VIEWER,
    "volume.change": Needs.MEMBER,
    "backup.see": Needs.VIEWER,
    "backup.change": Needs.MEMBER,  # take, restore and delete them, and plan them
    "store.manage": Needs.OPERATOR,
    "pool.manage": Needs.OPERATOR,
    "network.see": Needs.VIEWER,
    "network.change": Needs.MEMBER,
    "group.see": Needs.VIEWER,
    "group.change": Needs.MEMBER,
    "port.change": Needs.MEMBER,
    "port.unsecure": Needs.OWNER_OR_OPERATOR,
    "mirror.see": Needs.VIEWER,
    "mirror.change": Needs.MEMBER,  # who gets the copies reads what others' VMs say, as a capture's reader does
    "sample.see": Needs.MEMBER,  # headers of dropped packets
    "sample.ask": Needs.MEMBER,
    "external.manage": Needs.OPERATOR,
    "provider.manage": Needs.OPERATOR,
    "operation.list": Needs.VIEWER_OR_OPERATOR,  # the team's; operators have those over hosts, in whatever team they are
    "operation.see": Needs.VIEWER,
    "operation.cancel": Needs.MEMBER,
    "operation.retry": Needs.MEMBER,
    "trace.see": Needs.VIEWER,
    "trace.ask": Needs.MEMBER,
    "trace.deliver": Needs.MEMBER,  # one real packet is given to a guest
    "probing.start": Needs.MEMBER,
    "capture.see": Needs.MEMBER,  # what is in packets is more than where they go
    "capture.start": Needs.MEMBER,
    "matrix.see": Needs.VIEWER,
    "matrix.ask": Needs.MEMBER,
    "check.see": Needs.VIEWER,
    "check.change": Needs.MEMBER,
    "what_if.ask": Needs.VIEWER,  # it changes nothing; applying it needs group.change
    "alert.see": Needs.VIEWER,
    "alert.handle": Needs.MEMBER,
    "channel.manage": Needs.OWNER,  # whose addresses are secrets
    "board.see": Needs.VIEWER,
    "board.own": Needs.VIEWER,  # make and change boards of one's own
    "board.change": Needs.MEMBER,  # the team's
    "audit.see": Needs.VIEWER,
    "audit.all": Needs.OPERATOR,  # what belongs to no team: hosts, what is for all teams, settings, log-ins
    "host.see": Needs.OPERATOR,
    "host.change": Needs.OPERATOR,
    "team.list": Needs.OPERATOR,
    "usage.see": Needs.VIEWER,
    "price.see": Needs.PERSON,
    "price.change": Needs.OPERATOR,
    "team.make": Needs.OPERATOR,
    "flow.see": Needs.OPERATOR,
    "flow.change": Needs.OPERATOR,  # of bridges that are not ours
    "flow.try": Needs.OPERATOR,  # on a copy: no switch is changed
    "flow.trace": Needs.OPERATOR,
    "bundle.see": Needs.OPERATOR,
    "bundle.change": Needs.OPERATOR,
    "topology.see": Needs.VIEWER_OR_OPERATOR,
    "policy.manage": Needs.OPERATOR,
    "metrics.see": Needs.OPERATOR,  # or the scraper's own token
}


def is_allowed(right: str, role: str | None, is_operator: bool) -> bool:
    """Whether somebody who is logged in, with this role in the object's team (None: not in it), has the right."""
    needs = RIGHTS[right]
    if needs in (Needs.NOTHING, Needs.PERSON):
        return True
    if needs == Needs.OPERATOR:
        return is_operator
    if needs in OPERATORS_TOO and is_operator:
        return True
    return role is not None and TEAM_RANK[role] >= TEAM_RANK[needs]


def refusal_words(right: str, role: str | None, team: str) -> str:
    """Why somebody lacks the right, as a sentence for them."""
    needs = RIGHTS[right]
    if needs == Needs.OPERATOR:
        return gettext("Hosts and the wires between them are for operators: ask one to look, or to make you one.")
    if role is None:
        return gettext("You are not in %(team)s: ask one of its owners to add you.") % {"team": team}
    return gettext("You are a %(role)s of %(team)s; this needs the role %(needs)s. Ask an owner of the team.") % {
        "role": gettext(role),
        "team": team,
        "needs": gettext(needs),
    }
