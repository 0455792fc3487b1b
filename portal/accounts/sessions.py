"""Sessions as their person sees and ends them; one row each, made at log-in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.signals import authentication_failed
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.translation import gettext_noop as _

from portal.accounts.audit import record
from portal.accounts.factors import KINDS
from portal.accounts.models import LogIn, User
from portal.live.events import rights_changed

METHODS = {"password": _("password"), "socialaccount": _("single sign-on")}


@receiver(user_logged_in)
def note_log_in(sender: object, request: HttpRequest | None, user: User, **_: Any) -> None:
    """A row for the new session, and one in the audit."""
    if request is None or not request.META.get("REMOTE_ADDR"):
        return
    if not request.session.session_key:
        request.session.save()
    address = str(request.META.get("REMOTE_ADDR", ""))[:45]
    columns = {"user": user, "address": address, "agent": request.headers.get("User-Agent", "")[:200]}
    columns["method"] = method_of(request, user)
    LogIn.objects.update_or_create(session_key=request.session.session_key, defaults=columns)
    record("session.start", None, user, ("user", str(user.pk), address or "somewhere"))


def method_of(request: HttpRequest, user: User) -> str:
    """How the person showed who they are: "password, authenticator app"."""
    words = []
    for one in get_authentication_records(request, user):
        words.append(KINDS[one["type"]] if one["method"] == "mfa" else METHODS.get(one["method"], one["method"]))
    return ", ".join(dict.fromkeys(words))[:80]


@receiver(user_logged_out)
def forget_session(sender: object, request: HttpRequest, user: User | None, **_: Any) -> None:
    """The row of a session that its person ended."""
    LogIn.objects.filter(session_key=request.session.session_key or "").delete()


def live_sessions(user: User) -> list[LogIn]:
    """The person's sessions that still work; rows of ended ones are dropped."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    rows = list(user.log_ins.all())
    ended = [row.pk for row in rows if not store().exists(row.session_key)]
    LogIn.objects.filter(pk__in=ended).delete()
    return [row for row in rows if row.pk not in ended]


def end_session(row: LogIn, by: User) -> None:
    """The session's cookie works no more."""
    import_module(settings.SESSION_ENGINE).SessionStore(row.session_key).delete()
    record("session.end", None, by, ("session", str(row.pk), row.address or "somewhere"))
    rights_changed(row.user_id)
    row.delete()


def end_other_sessions(user: User, kept: str | None) -> int:
    """How many of the person's other sessions were ended."""
    rows = [row for row in user.log_ins.all() if row.session_key != kept]
    for row in rows:
        end_session(row, user)
    return len(rows)


@receiver(authentication_failed)
def note_wrong_factor(sender: object, user: User, **_: Any) -> None:
    """Somebody who knows the password did not know the code: that is worth a row."""
    record("factor.fail", None, user, ("user", str(user.pk), user.username))
