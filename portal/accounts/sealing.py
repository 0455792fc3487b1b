"""Secrets that have to be read again (a store's key) are kept sealed: the database, and a copy of it, tell nothing without
the installation's own key (`HOPSIGHT_SECRET`, or `secret-key` in the state folder)."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"hopsight: secrets in the database"


class SealBroken(Exception):
    """It was sealed with another key, or changed since."""


def seal(secret: str) -> str:
    """What may be kept of it; never twice the same."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """The secret. Raises SealBroken."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken from None


def _box() -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key))
