"""Second factors: who must have one, who has one, and what a person without one is told.

An operator may ask for one of every member of a team, and of the operators (`AccessPolicy`). A person who must have one and has
none reaches nothing but the pages that set one up; their tokens and sockets wait as well. Recovery codes alone are no factor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.audit import record
from portal.accounts.models import AccessPolicy, Membership, Team, User
from portal.accounts.teams import TeamProblem
from portal.live.events import rights_changed

POLICY_KEY, POLICY_S = "access-policy:operators", 60
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
KINDS = {"totp": _("authenticator app"), "webauthn": _("passkey"), "recovery_codes": _("recovery codes")}


def has_factor(user: User) -> bool:
    """Whether the person has an authenticator app or a passkey."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists())


def asking(user: User, memberships: Iterable[Membership] | None = None) -> str:
    """Who asks the person for a second factor ("the team Payments"); nothing when nobody does."""
    if user.service_of_id is not None:
        return ""  # it has no log-in to strengthen
    rows = Membership.objects.filter(user=user).select_related("team") if memberships is None else memberships
    team = next((row.team.name for row in rows if row.team.needs_second_factor), None)
    if team is not None:
        return gettext("the team %(team)s") % {"team": team}
    return gettext("the operators’ policy") if user.is_operator and operators_asked() else ""


def missing(user: User, memberships: Iterable[Membership] | None = None) -> str:
    """What a person who must have a second factor, and has none, is told; nothing for everybody else."""
    who = asking(user, memberships)
    if not who or has_factor(user):
        return ""
    return gettext("%(upper)s%(who)s asks for a second factor: set one up under Security first.") % {
        "upper": who[0].upper(),
        "who": who[1:],
    }


def operators_asked() -> bool:
    """Whether operators must have a second factor; every request of theirs asks, so the shared cache answers."""
    known = cache.get(POLICY_KEY)
    if known is None:
        known = policy().operators_need_second_factor
        cache.set(POLICY_KEY, known, POLICY_S)
    return bool(known)


def policy() -> AccessPolicy:
    """The deployment's one policy."""
    return AccessPolicy.objects.filter(pk=1).first() or AccessPolicy(pk=1)


def change_policy(by: User, operators: bool | None, teams: Iterable[str] | None) -> None:
    """What the operators ask for from now on; None leaves it. Raises TeamProblem for an unknown team, and for an operator who
    asks the operators for a factor without having one."""
    if operators and not has_factor(by):
        raise TeamProblem(
            "operators", gettext("you have no second factor yourself: set one up first, else this shuts you out")
        )
    with transaction.atomic():
        if teams is not None:
            _ask_teams(by, set(teams))
        row = policy()
        if operators is not None and row.operators_need_second_factor != operators:
            row.operators_need_second_factor = operators
            row.save()
            transaction.on_commit(lambda: cache.delete(POLICY_KEY))
            record("policy.operators", None, by, ("policy", "1", "operators"), after={"second_factor": operators})
            for pk in User.objects.filter(is_operator=True).values_list("pk", flat=True):
                rights_changed(pk)


def _ask_teams(by: User, wanted: set[str]) -> None:
    teams = {team.slug: team for team in Team.objects.order_by("pk").select_for_update()}
    if unknown := sorted(wanted - set(teams)):
        raise TeamProblem(
            "teams", gettext("%(unknown)s: there is no such team") % {"unknown": ", ".join(unknown)[:200]}
        )
    for slug, team in teams.items():
        needs = slug in wanted
        if team.needs_second_factor == needs:
            continue
        Team.objects.filter(pk=team.pk).update(needs_second_factor=needs)
        what = ("team", team.slug, team.name)
        record("policy.team", team, by, what, before={"second_factor": not needs}, after={"second_factor": needs})
        for pk in team.memberships.values_list("user_id", flat=True):
            rights_changed(pk)


def forget_factors(user: User) -> int:
    """How many factors were taken from a person who lost them; they log in by password alone until they set one up."""
    with transaction.atomic():
        rows = list(Authenticator.objects.filter(user_id=user.pk))
        for row in rows:
            row.delete()
        rights_changed(user.pk)
    return len(rows)


@receiver(post_save, sender=Authenticator)
def note_factor(sender: object, instance: Any, created: bool, **_: Any) -> None:
    """A new factor is in the audit."""
    if created:
        record("factor.add", None, None, ("factor", str(instance.pk), _named(instance)))


@receiver(post_delete, sender=Authenticator)
def note_lost_factor(sender: object, instance: Any, **_: Any) -> None:
    """So is one that is gone; the person's sockets ask again."""
    record("factor.remove", None, None, ("factor", str(instance.pk), _named(instance)))
    rights_changed(instance.user_id)


@receiver(post_save, sender=SocialAccount)
def note_identity(sender: object, instance: Any, created: bool, **_: Any) -> None:
    """A log-in at a provider that stands for a person here from now on."""
    if created:
        record("identity.connect", None, instance.user, ("identity", str(instance.pk), instance.provider))


@receiver(post_delete, sender=SocialAccount)
def note_lost_identity(sender: object, instance: Any, **_: Any) -> None:
    """It does no more."""
    record("identity.disconnect", None, None, ("identity", str(instance.pk), instance.provider))


def _named(row: Any) -> str:
    who = User.objects.filter(pk=row.user_id).values_list("username", flat=True).first() or "nobody"
    return f"{KINDS[row.type]} of {who}"
