"""Where the server is and with which token: a file that only its owner reads, or environment variables.

HOPSIGHT_URL, HOPSIGHT_TOKEN, HOPSIGHT_TEAM go before the file, so that a script needs no log-in. HOPSIGHT_CA names a file of
certificates to trust instead of the system's.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Profile:
    """A server, and who one is there."""

    url: str = DEFAULT_URL
    token: str = ""
    team: str = ""


def path() -> Path:
    """The file of the log-in."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "hopsight" / "login.json"


def load() -> Profile:
    """The stored log-in with the environment's words over it. A file that cannot be read counts as none."""
    try:
        told = json.loads(path().read_text())
        kept = Profile(str(told.get("url", DEFAULT_URL)), str(told.get("token", "")), str(told.get("team", "")))
    except (OSError, ValueError, AttributeError):
        kept = Profile()
    url = os.environ.get("HOPSIGHT_URL", "")
    if url and url.rstrip("/") != kept.url:
        kept = Profile(url.rstrip("/"))  # a token is one server's: it is sent to no other
    token, team = os.environ.get("HOPSIGHT_TOKEN", ""), os.environ.get("HOPSIGHT_TEAM", "")
    return replace(kept, token=token or kept.token, team=team or kept.team)


def save(profile: Profile) -> Path:
    """Keep the log-in, for its owner's eyes."""
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(asdict(profile), out)
    fresh.replace(file)
    return file


def forget() -> None:
    """Keep no log-in."""
    path().unlink(missing_ok=True)


def is_in_clear(url: str) -> bool:
    """Whether a token would cross a network unencrypted."""
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in LOOPBACK
