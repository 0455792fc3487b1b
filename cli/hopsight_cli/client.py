"""The REST API as the commands use it: JSON in and out, all pages, creates that may be sent twice, and every refusal in words."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from hopsight_cli.config import Profile

TIMEOUT_S = 30.0
TRIES = 3  # of a request that may be sent again: reads, and creates, which carry a key


class CliError(Exception):
    """What a command ends with. `code` is the exit code."""

    code = 1


class Refused(CliError):
    """The server's problem+json: its title, every field's sentences, and the request's id for whoever looks in the log."""

    def __init__(self, title: str, status: int, errors: dict[str, list[str]], request_id: str) -> None:
        super().__init__(title)
        self.title, self.status, self.errors, self.request_id = title, status, errors, request_id
        self.code = 3 if status == 401 else 1


class Unreachable(CliError):
    """Nobody answers, or not in the API's words."""

    code = 4


class WrongWords(CliError):
    """What was typed names nothing."""

    code = 2


class Api:
    """One person's connection."""

    def __init__(self, profile: Profile, reason: str = "", patience_s: float = 0) -> None:
        """With a patience each request is sent once, and given up after it."""
        self.profile = profile
        self._tries = 1 if patience_s else TRIES
        headers = {"User-Agent": "hopsight-cli"}
        headers |= {"Authorization": f"Bearer {profile.token}"} if profile.token else {}
        headers |= {"Hopsight-Team": profile.team} if profile.team else {}
        # One line, as a header is; bytes, for httpx takes only ASCII as text.
        self._reason: dict[str, Any] = {"X-Reason": " ".join(reason.split()).encode()} if reason.strip() else {}
        self._http = httpx.Client(
            base_url=f"{profile.url}/api/v1",
            headers=headers,
            timeout=patience_s or TIMEOUT_S,
            verify=trusted(),
            follow_redirects=False,
        )
        self._seen: dict[str, tuple[str, Any]] = {}

    def get(self, path: str, **query: Any) -> Any:
        """The answer. What did not change since the last time is not sent again (ETag)."""
        # None where nothing is asked beside the path: httpx takes an empty query for one that replaces the path's own.
        params = {name: value for name, value in query.items() if value is not None} or None
        place = str(httpx.URL(path, params=params))
        tag, known = self._seen.get(place, ("", None))
        answer = self._ask("GET", path, params=params, headers={"If-None-Match": tag} if tag else {})
        if answer.status_code == 304:
            return known
        value = _value(answer)
        if "ETag" in answer.headers:
            self._seen[place] = (answer.headers["ETag"], value)
        return value

    def pages(self, path: str, most: int = 1000, **query: Any) -> list[Any]:
        """The items of all pages, at most so many."""
        return [item for item, _ in zip(self._items(path, most, query), range(most), strict=False)]

    def send(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a change."""
        headers = {"Idempotency-Key": secrets.token_hex(16)} if method == "POST" else {}
        return _value(self._ask(method, path, json=body if body is not None else {}, headers=headers))

    def _items(self, path: str, most: int, query: dict[str, Any]) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=min(most, 200), cursor=cursor)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        again = method == "GET" or "Idempotency-Key" in options["headers"]
        options["headers"] |= {} if method == "GET" else self._reason
        for left in reversed(range(self._tries if again else 1)):
            try:
                return self._http.request(method, path, **options)
            except httpx.TransportError as problem:
                if not left:
                    words = f"{self.profile.url} does not answer ({problem or type(problem).__name__})"
                    raise Unreachable(f"{words}: is it the right address? Give another with --url.") from None
        raise AssertionError("not reached")


def trusted() -> ssl.SSLContext:
    """The system's certificates, or those of the file that HOPSIGHT_CA names."""
    return ssl.create_default_context(cafile=os.environ.get("HOPSIGHT_CA") or None)


def _value(answer: httpx.Response) -> Any:
    """The JSON of a good answer. Raises Refused or Unreachable."""
    if answer.status_code == 204:
        return None
    try:
        value = answer.json()
    except ValueError:
        raise Unreachable(
            f"{answer.url} answered {answer.status_code} and no JSON: is that a Hopsight server?"
        ) from None
    if answer.is_success:
        return value
    told = value if isinstance(value, dict) else {}
    errors = told.get("errors")
    request_id = answer.headers.get("X-Request-ID", "")
    title = str(told.get("title", answer.reason_phrase))
    raise Refused(title, answer.status_code, errors if isinstance(errors, dict) else {}, request_id)
