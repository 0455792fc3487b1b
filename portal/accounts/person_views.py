"""What is a person's own besides keys: API tokens, sessions, the password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import memberships_of
from portal.accounts.audit import record
from portal.accounts.models import ApiToken, LogIn
from portal.accounts.scopes import READ, WORDS
from portal.accounts.sessions import end_other_sessions, end_session, live_sessions
from portal.accounts.teams import TeamProblem
from portal.accounts.tokens import TOKEN_DAYS, TokenSpec, delete_token, make_scoped
from portal.accounts.views import person
from portal.accounts.zones import zone_names


@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """One's tokens, with a form to make one; the new one's secret is shown this once."""
    user, secret = person(request), ""
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        days = request.POST.get("days", "")
        number = int(days) if days.isdecimal() and len(days) < 6 else 0
        try:
            team = next(
                (row.team for row in memberships_of(request) if row.team.slug == request.POST.get("team")), None
            )
            scopes = tuple(request.POST.getlist("scopes"))
            _, secret = make_scoped(user, TokenSpec(request.POST.get("name", ""), scopes, number, team), user)
        except TeamProblem as problem:
            errors = problem.errors
    context = {
        "tokens": user.tokens.select_related("team"),
        "scopes": WORDS.items(),
        "chosen": request.POST.getlist("scopes") or [READ],
        "errors": errors,
        "secret": secret,
        "days": TOKEN_DAYS,
        "given": request.POST,
    }
    return render(request, "accounts/tokens.html", context, status=422 if errors else 200)


@require_POST
def token_delete(request: HttpRequest, token_id: int) -> HttpResponse:
    """The token works no more."""
    delete_token(get_object_or_404(ApiToken.objects.select_related("user"), pk=token_id, user_id=request.user.pk))
    return redirect("tokens")


@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is logged in, and the form for another password."""
    return _sessions_page(request, PasswordChangeForm(person(request)))


def _sessions_page(request: HttpRequest, form: PasswordChangeForm) -> HttpResponse:
    context = {
        "sessions": live_sessions(person(request)),
        "here": request.session.session_key,
        "form": form,
        "zones": sorted(zone_names()),
    }
    return render(request, "accounts/sessions.html", context, status=422 if form.errors else 200)


@require_POST
def session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    """Log out one of one's sessions, wherever it is."""
    with transaction.atomic():
        end_session(get_object_or_404(LogIn, pk=session_id, user_id=request.user.pk), person(request))
    return redirect("sessions")


@require_POST
def password(request: HttpRequest) -> HttpResponse:
    """Another password; every other session ends with the old one."""
    user = person(request)
    form = PasswordChangeForm(user, request.POST)
    if not form.is_valid():
        return _sessions_page(request, form)
    with transaction.atomic():
        form.save()
        before = request.session.session_key
        update_session_auth_hash(request, user)
        LogIn.objects.filter(session_key=before).update(session_key=request.session.session_key)
        ended = end_other_sessions(user, request.session.session_key)
        record("password.change", None, user, ("user", str(user.pk), user.username))
    messages.success(
        request,
        ngettext(
            "The password was changed; %(count)s other session ended.",
            "The password was changed; %(count)s other sessions ended.",
            ended,
        )
        % {"count": ended},
    )
    return redirect("sessions")
