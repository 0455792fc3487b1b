"""Log-in, team switch, SSH keys."""

from __future__ import annotations

import hashlib
from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.socialaccount.adapter import get_adapter
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from portal.accounts.access import SESSION_KEY, memberships_of
from portal.accounts.audit import record
from portal.accounts.joining import link_on_the_way
from portal.accounts.keys import KeyProblem, parse_public_key
from portal.accounts.models import User
from portal.accounts.teams import open_invitation
from portal.compute.models import KeyPair

MAX_FAILURES = 10
FAILURE_WINDOW_S = 300


class LogIn(LoginView):
    """The log-in page; after ten failures from one address, or for one name, within five minutes it answers 429."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and any(cache.get(key, 0) >= MAX_FAILURES for key in self._keys()):
            words = gettext("Too many failed log-ins: wait %(n)s minutes.") % {"n": FAILURE_WINDOW_S // 60}
            context = {"form": AuthenticationForm(), "limited": words}
            answer = render(request, "accounts/login.html", context, status=429)
            answer.headers["Retry-After"] = str(FAILURE_WINDOW_S)
            return answer
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        secret = link_on_the_way(self.get_redirect_url())
        invited = open_invitation(secret) if secret else None
        return {
            **context, "providers": get_adapter().list_providers(self.request), "invited": invited,
            "makes_log_ins": settings.INVITED_PEOPLE, "is_dead_link": bool(secret) and invited is None,
        }  # fmt: skip

    def form_valid(self, form: AuthenticationForm) -> Any:
        """On through allauth's stages, which ask for the second factor of a person who has one."""
        user = form.get_user()
        redirect_url = self.get_redirect_url() or None
        return perform_password_login(self.request, {"username": user.username}, Login(user, redirect_url=redirect_url))

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        for key in self._keys():
            cache.add(key, 0, FAILURE_WINDOW_S)
            cache.incr(key)
        return super().form_invalid(form)

    def _keys(self) -> tuple[str, str]:
        name = hashlib.sha256(self.request.POST.get("username", "").lower().encode()).hexdigest()[:32]
        return f"log-in:address:{self.request.META.get('REMOTE_ADDR', '')}", f"log-in:name:{name}"


@require_POST
def team_switch(request: HttpRequest, slug: str) -> HttpResponse:
    """Work in another of one's teams; a stranger's team does not exist."""
    if slug not in {row.team.slug for row in memberships_of(request)}:
        raise Http404
    request.session[SESSION_KEY] = slug
    return redirect("dashboard")


def keys(request: HttpRequest) -> HttpResponse:
    """One's SSH keys, with a form to add one."""
    user = person(request)
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            add_key(user, request.POST.get("name", ""), request.POST.get("public_key", ""))
            return redirect("keys")
        except KeyProblem as problem:
            errors["public_key"] = str(problem)
    context = {"keys": user.keys.all(), "errors": errors, "given": request.POST}
    return render(request, "accounts/keys.html", context, status=422 if errors else 200)


@require_POST
def key_delete(request: HttpRequest, key_id: int) -> HttpResponse:
    """Forget a key; VMs made with it keep their copy."""
    row = get_object_or_404(KeyPair, pk=key_id, user_id=request.user.pk)
    remove_key(row, person(request))
    return redirect("keys")


def remove_key(row: KeyPair, by: User) -> None:
    """The key is forgotten."""
    with transaction.atomic():
        record("key.delete", None, by, ("key", str(row.pk), row.name))
        row.delete()


def add_key(user: User, name: str, text: str) -> KeyPair:
    """The stored key; a key that is stored already is given back. Raises KeyProblem."""
    parsed = parse_public_key(text)
    known = user.keys.filter(fingerprint=parsed.fingerprint).first()
    if known is not None:
        return known
    base = (name.strip() or parsed.comment or "key")[:50]
    label, number = base, 2
    while user.keys.filter(name=label).exists():
        label, number = f"{base} {number}", number + 1
    with transaction.atomic():
        row = KeyPair.objects.create(user=user, name=label, public_key=parsed.text, fingerprint=parsed.fingerprint)
        record("key.add", None, user, ("key", str(row.pk), label), after={"fingerprint": parsed.fingerprint})
    return row


def person(request: HttpRequest) -> User:
    """The person of a request that LoginRequiredMiddleware let through."""
    assert isinstance(request.user, User)
    return request.user
