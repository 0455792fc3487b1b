"""OpenSSH public keys: checked byte by byte against their wire form (RFC 4253 section 6.6), and their fingerprints."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from django.utils.translation import gettext

# Kind → number of length-prefixed fields in the key, the kind's own name included.
KINDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
MIN_RSA_BITS = 2048


class KeyProblem(ValueError):
    """The text is no public key; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class PublicKey:
    text: str
    comment: str
    fingerprint: str


def parse_public_key(text: str) -> PublicKey:
    """The key in its one-line form with its SHA-256 fingerprint. Raises KeyProblem."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise KeyProblem(gettext("a private key was given: keep it to yourself and paste the .pub file's line"))
    if "\n" in line or "\r" in line:
        raise KeyProblem(
            gettext("%(count)s lines were given; one line is allowed, as in ~/.ssh/id_ed25519.pub")
            % {"count": len(line.splitlines())}
        )
    words = line.split(None, 2)
    if len(words) < 2 or words[0] not in KINDS:
        raise KeyProblem(
            gettext("“%(line)s” was given; a line that starts with %(list)s, … is allowed")
            % {"line": line[:30], "list": ", ".join(list(KINDS)[:3])}
        )
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise KeyProblem(gettext("the key's second word is not base64: copy the whole line")) from None
    fields = _fields(blob)
    if len(fields) != KINDS[words[0]] or fields[0] != words[0].encode():
        raise KeyProblem(
            gettext("the key says %(words)s and its content is another or cut off: copy the whole line")
            % {"words": words[0]}
        )
    if words[0] == "ssh-rsa" and int.from_bytes(fields[2], "big").bit_length() < MIN_RSA_BITS:
        raise KeyProblem(
            gettext("the RSA key is too short; at least %(min_rsa_bits)s bits are allowed")
            % {"min_rsa_bits": MIN_RSA_BITS}
        )
    if words[0] == "ssh-ed25519" and len(fields[1]) != 32:
        raise KeyProblem(gettext("the ed25519 key has a wrong length: copy the whole line"))
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    comment = words[2] if len(words) > 2 else ""
    return PublicKey(line, comment, f"SHA256:{digest}")


def _fields(blob: bytes) -> list[bytes]:
    fields: list[bytes] = []
    at = 0
    while at + 4 <= len(blob):
        (length,) = struct.unpack_from(">I", blob, at)
        fields.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return fields if at == len(blob) else []
