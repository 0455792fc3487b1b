"""Security: second factors, passkeys and identities of a person, and what the operators ask for."""

from __future__ import annotations

from typing import Any

from allauth.mfa.base.views import IndexView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.views import RemoveWebAuthnView
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal.flows.connect import disconnect
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import memberships_of, require
from portal.accounts.adapters import removal_problem
from portal.accounts.factors import asking, change_policy, has_factor, policy
from portal.accounts.models import Team
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person


class Security(IndexView):  # type: ignore[misc]
    """A person's second factors and identities on one page."""

    template_name = "accounts/security.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        user = person(self.request)
        context["asking"] = asking(user, memberships_of(self.request))
        context["has_factor"] = has_factor(user)
        context["passkeys"] = Authenticator.objects.filter(user=user, type="webauthn").order_by("pk")
        context["identities"] = SocialAccount.objects.filter(user=user)
        context["providers"] = get_adapter().list_providers(self.request)
        context["by_address"] = self.request.get_host().partition(":")[0].replace(".", "").isdecimal()
        return context


class RemovePasskey(RemoveWebAuthnView):  # type: ignore[misc]
    """Asks once, and refuses to take the last factor of somebody who must have one."""

    success_url = reverse_lazy("mfa_index")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["refusal"] = self._refusal()
        return context

    def form_valid(self, form: Any) -> Any:
        if self._refusal():
            return self.render_to_response(self.get_context_data(form=form), status=422)
        return super().form_valid(form)

    def _refusal(self) -> str:
        from allauth.mfa.adapter import get_adapter as factors

        allowed = factors().can_delete_authenticator(self.object)
        return "" if allowed else str(factors().error_messages["cannot_delete_authenticator"])


class SignedIdentities(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """The provider's answers with every signature checked: allauth trusts an ID token that came straight over TLS."""

    def _decode_id_token(self, app: Any, id_token: str) -> Any:
        self.did_fetch_access_token = False
        return super()._decode_id_token(app, id_token)


@login_not_required
def oidc_login(request: HttpRequest, provider_id: str) -> Any:
    """To the provider."""
    return _by_provider(OAuth2LoginView, request, provider_id)


@login_not_required
def oidc_callback(request: HttpRequest, provider_id: str) -> Any:
    """Back from it, with a code."""
    return _by_provider(OAuth2CallbackView, request, provider_id)


def _by_provider(view: Any, request: HttpRequest, provider_id: str) -> Any:
    try:
        return view.adapter_view(SignedIdentities(request, provider_id))(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None


@login_not_required
def oidc_cancelled(request: HttpRequest) -> HttpResponse:
    """The person said no at the provider."""
    messages.error(request, gettext("The log-in was cancelled."))
    return redirect("login")


@require_POST
def identity_remove(request: HttpRequest, identity_id: int) -> HttpResponse:
    """The identity lets one in no more."""
    row = get_object_or_404(SocialAccount, pk=identity_id, user=person(request))
    if words := removal_problem(person(request)):
        messages.error(request, words)
        return redirect("mfa_index")
    try:
        disconnect(request, row)
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    return redirect("mfa_index")


@require_http_methods(["GET", "HEAD", "POST"])
def access_policy(request: HttpRequest) -> HttpResponse:
    """Of whom a second factor is asked."""
    require(request, "policy.manage")
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            change_policy(person(request), "operators" in request.POST, request.POST.getlist("teams"))
            messages.success(request, gettext("The policy is stored."))
            return redirect("access_policy")
        except TeamProblem as problem:
            errors = problem.errors
    teams = [(team, team.memberships.count()) for team in Team.objects.order_by("name")]
    context = {"policy": policy(), "teams": teams, "errors": errors}
    return render(request, "accounts/access_policy.html", context, status=422 if errors else 200)
