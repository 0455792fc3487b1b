"""What the tests of log-ins share: RFC 6238's codes, and a browser-like client that logs in as people do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time

from django.test import Client
from django.urls import reverse

from portal.accounts.models import User
from tests.waiting import wait_for

PASSWORD = "correct horse battery staple"


def code_of(secret: str, at: float | None = None) -> str:
    """The six digits that an authenticator app shows (RFC 6238 with SHA-1 and 30 s)."""
    counter = struct.pack(">Q", int((time.time() if at is None else at) // 30))
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    place = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[place : place + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def fresh_code(secret: str) -> str:
    """The digits of now, with time left to send them."""
    wait_for(lambda: time.time() % 30 < 24, 10, "the digits are not about to change")
    return code_of(secret)


def with_password(user: User) -> User:
    user.set_password(PASSWORD)
    user.save()
    return user


def logged_in(user: User) -> Client:
    """A client that gave the password on the log-in page, whatever is asked next."""
    client = Client()
    client.post(reverse("login"), {"username": user.username, "password": PASSWORD})
    return client


def confirmed(client: Client) -> Client:
    """The same, having shown its password once more."""
    answer = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert answer.status_code == 302, answer.content
    return client


def set_up(client: Client) -> str:
    """The secret of an authenticator app that the client's person set up on the page."""
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    done = client.post(reverse("mfa_activate_totp"), {"code": fresh_code(secret)})
    assert done.status_code == 302, done.content
    return secret
