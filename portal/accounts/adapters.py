"""How django-allauth does things here: its log-in goes on from our log-in page, its words are ours, its secrets are sealed."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext_noop as _

from portal.accounts.factors import asking, has_factor
from portal.accounts.models import User

# What allauth tells after a change, by its message template; what is not here is not told.
TOLD = {
    "mfa/messages/totp_activated.txt": _("The authenticator app is set up."),
    "mfa/messages/totp_deactivated.txt": _("The authenticator app is asked for no more."),
    "mfa/messages/webauthn_added.txt": _("The passkey is added."),
    "mfa/messages/webauthn_removed.txt": _("The passkey is removed."),
    "mfa/messages/recovery_codes_generated.txt": _("There are new recovery codes: keep them where you keep passwords."),
    "socialaccount/messages/account_connected.txt": _("It is connected: you may log in by it now."),
    "socialaccount/messages/account_connected_updated.txt": _("It is connected."),
    "socialaccount/messages/account_connected_other.txt": _("It is somebody else’s here already."),
    "socialaccount/messages/account_disconnected.txt": _("It is disconnected: it lets you in no more."),
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves: operators, owners' links and the identity provider bring people in."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "incorrect_password": gettext_lazy("That is not your password."),
        "too_many_login_attempts": gettext_lazy("Too many wrong answers: wait five minutes."),
        "rate_limited": gettext_lazy("Too many wrong answers: wait five minutes."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """No form makes a log-in."""
        return False

    def add_message(self, request: HttpRequest, level: int, message_template: str | None = None, message_context: Any = None, extra_tags: str = "", message: str | None = None) -> None:  # fmt: skip
        """Ours in place of allauth's."""
        words = message or TOLD.get(message_template or "")
        if words:
            super().add_message(request, level, message=gettext(str(words)), extra_tags=extra_tags)


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors: their secrets lie sealed in the database, so that a copy of it lets nobody in."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": gettext_lazy("That is not the code, or it was used already: take the next one."),
        "cannot_delete_authenticator": gettext_lazy(
            "You must keep a second factor: add another one before you remove this one."
        ),
        "cannot_generate_recovery_codes": gettext_lazy(
            "Recovery codes stand in for a second factor: set one up first."
        ),
    }

    def get_totp_label(self, user: User) -> str:
        return user.username

    def encrypt(self, text: str) -> str:
        return _seal().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _seal().decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Any) -> bool:
        """Not the last one of a person who must have one."""
        user = authenticator.user
        others = (
            type(authenticator).objects.filter(user=user, type__in=("totp", "webauthn")).exclude(pk=authenticator.pk)
        )
        return not asking(user) or others.exists()

    def generate_authenticator_name(self, user: User, type: Any) -> str:
        return "My passkey"

    def _get_site_name(self) -> str:
        return "Hopsight"


class IdentityAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """People whom the identity provider knows. Who they are is its `sub`; names and addresses of theirs open nothing here."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Turns away, in words, whoever would need a log-in of their own here and cannot have it."""
        sociallogin.email_addresses = []
        if sociallogin.is_existing or sociallogin.state.get("process") == "connect":
            return
        name = str(sociallogin.user.username or "")
        words = _name_problem(name) if settings.OIDC_NEW_PEOPLE else (
            gettext("Nobody here is connected with this identity. Log in with your password and connect it under Security, or ask an operator for a log-in.")
        )  # fmt: skip
        if words:
            raise ImmediateHttpResponse(render(request, "accounts/login_problem.html", {"words": words}, status=403))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return bool(settings.OIDC_NEW_PEOPLE)

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        """The log-in's name is what the provider calls the person, exactly: no name is made up."""
        user = super().populate_user(request, sociallogin, data)
        user.username = str(data.get("username") or "")[:150]
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("mfa_index")


def removal_problem(user: User) -> str:
    """Why the person's last way in may not be taken away; nothing when another is left."""
    if user.has_usable_password() or has_factor(user):
        return ""
    return gettext("This is your only way to log in: add a passkey first, or ask an operator for a password.")


def _name_problem(name: str) -> str:
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError:
        return gettext(
            "The provider calls you “%(name)s”, which cannot be a log-in: letters, digits and @.+-_ are allowed."
        ) % {"name": name[:40]}
    if User.objects.filter(username__iexact=name).exists():
        return gettext(
            "“%(name)s” is a log-in here already. If it is yours, log in with its password and connect this identity under Security."
        ) % {"name": name}
    return ""


def _seal() -> MultiFernet:
    keys = [str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    digests = [hashlib.sha256(b"hopsight second factors\0" + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
