"""Service accounts: what programs of a team act as. Each has a role in its one team and tokens, and no log-in."""

from __future__ import annotations

import re

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Membership, Role, Team, User
from portal.accounts.teams import TeamProblem
from portal.live.events import rights_changed

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
MAX_SERVICES = 50


def create_service(team: Team, by: User, name: str, role: str) -> User:
    """The account, `name@team`. Raises TeamProblem."""
    if not NAME.fullmatch(name):
        raise TeamProblem(
            "name",
            gettext("“%(name)s” was given; 1 to 40 of a-z, 0-9 and hyphens inside are allowed") % {"name": name[:40]},
        )
    _check_role(role)
    if team.services.count() >= MAX_SERVICES:
        raise TeamProblem(
            "name",
            gettext("%(team)s has %(max_services)s service accounts, which is the most")
            % {"team": team.name, "max_services": MAX_SERVICES},
        )
    try:
        with transaction.atomic():
            user = User(username=f"{name}@{team.slug}", service_of=team)
            user.set_unusable_password()
            user.save()
            Membership.objects.create(user=user, team=team, role=role)
            record("service.create", team, by, ("service", str(user.pk), user.username), after={"role": role})
    except IntegrityError:
        raise TeamProblem(
            "name",
            gettext("“%(name)s” was given; %(team)s has a service account of that name")
            % {"name": name, "team": team.name},
        ) from None
    return user


def change_service_role(user: User, by: User, role: str) -> None:
    """Another role. Raises TeamProblem."""
    _check_role(role)
    with transaction.atomic():
        row = Membership.objects.select_for_update().get(user=user, team=user.service_of)
        if row.role == role:
            return
        before, row.role = row.role, role
        row.save(update_fields=["role"])
        what = ("service", str(user.pk), user.username)
        record("service.role", user.service_of, by, what, before={"role": before}, after={"role": role})
        rights_changed(user.pk)


def delete_service(user: User, by: User) -> None:
    """It and its tokens are gone; what it made stays."""
    with transaction.atomic():
        record("service.delete", user.service_of, by, ("service", str(user.pk), user.username))
        rights_changed(user.pk)
        user.delete()


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise TeamProblem(
            "role",
            gettext("“%(role)s” was given; %(values)s are allowed")
            % {"role": role[:40], "values": ", ".join(Role.values)},
        )
