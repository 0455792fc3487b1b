"""Log-in, team switch and SSH keys."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from portal.accounts.access import SESSION_KEY, memberships_of
from portal.accounts.keys import KeyProblem, parse_public_key
from portal.accounts.models import User
from portal.compute.models import KeyPair

MAX_FAILURES = 10
FAILURE_WINDOW_S = 300


class LogIn(LoginView):
    """The log-in page; after ten failures from one address within five minutes it answers 429."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and cache.get(self._key(), 0) >= MAX_FAILURES:
            words = f"Too many failed log-ins: wait {FAILURE_WINDOW_S // 60} minutes."
            return render(request, "accounts/login.html", {"form": AuthenticationForm(), "limited": words}, status=429)
        return super().dispatch(request, *args, **kwargs)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        cache.add(self._key(), 0, FAILURE_WINDOW_S)
        cache.incr(self._key())
        return super().form_invalid(form)

    def _key(self) -> str:
        return f"login-failures:{self.request.META.get('REMOTE_ADDR', '')}"


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
    get_object_or_404(KeyPair, pk=key_id, user_id=request.user.pk).delete()
    return redirect("keys")


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
    return KeyPair.objects.create(user=user, name=label, public_key=parsed.text, fingerprint=parsed.fingerprint)


def person(request: HttpRequest) -> User:
    """The person of a request that LoginRequiredMiddleware let through."""
    assert isinstance(request.user, User)
    return request.user
