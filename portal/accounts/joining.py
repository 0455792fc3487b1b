"""Somebody whom a team invites and who has no log-in makes one: the link vouches for them, and nobody else can."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import Resolver404, resolve
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.team_admin import is_login
from portal.accounts.teams import TeamProblem, accept


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What is typed: the log-in, and its password twice."""

    name: str
    password: str
    again: str


def join_as_new(secret: str, asked: NewPerson) -> User:
    """The person, in the link's team. Raises TeamProblem with every wrong field, or with what is wrong with the link:
    then nobody was made and the link works as before."""
    if errors := _wrong(asked):
        raise TeamProblem.of(errors)
    user = User(username=asked.name)
    user.set_password(asked.password)
    with transaction.atomic():
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError:
            raise TeamProblem("username", _taken(asked.name)) from None
        record("person.join", None, user, ("user", str(user.pk), user.username))
        accept(secret, user)
    return user


def link_on_the_way(url: str) -> str:
    """The secret of the invitation link that the log-in leads to; nothing when it leads elsewhere."""
    try:
        match = resolve(url)
    except Resolver404:
        return ""
    return str(match.kwargs["secret"]) if match.url_name == "invitation" else ""


def _wrong(asked: NewPerson) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if not is_login(asked.name):
        words = gettext("“%(owner)s” was given; a log-in is 1 to 40 of a-z, 0-9, dots, hyphens, underscores")
        errors["username"] = [words % {"owner": asked.name[:40]}]
    elif User.objects.filter(username__iexact=asked.name).exists():
        errors["username"] = [_taken(asked.name)]
    try:
        validate_password(asked.password)
    except ValidationError as problem:
        errors["password"] = [str(words) for words in problem.messages]
    if asked.again != asked.password:
        errors["again"] = [gettext("this is not the password above: type the same twice")]
    return errors


def _taken(name: str) -> str:
    return gettext("“%(name)s” is a log-in here already: choose another, or log in if it is yours") % {"name": name}
