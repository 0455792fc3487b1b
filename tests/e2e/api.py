"""The API as a script uses it: logged in, and patient with a web process that is being restarted."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any

from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Product


class Api:
    """One person's session."""

    def __init__(self, product: Product, user: str) -> None:
        self._product = product
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        form = self._open("/login/", None)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        fields = {"csrfmiddlewaretoken": token[1], "username": user, "password": product.passwords[user], "next": "/"}
        self._open("/login/", urllib.parse.urlencode(fields).encode())

    def get(self, path: str) -> Any:
        """The answer; None when there is no such object. Asks again while the web process is away."""
        return wait_for(lambda: self._ask("GET", path, None), 20, f"GET {path} answers")[1]

    def send(self, method: str, path: str, value: object = None) -> tuple[int, Any]:
        """Status and answer of one request, asked once."""
        answer = self._ask(method, path, value)
        assert answer is not None, f"{method} {path}: no answer"
        return answer

    def put_bytes(self, path: str, chunk: bytes) -> Any:
        """The answer to a PUT of these bytes."""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "") or ""
        headers = {"Content-Type": "application/octet-stream", "X-CSRFToken": token, "Referer": self._product.url}
        request = urllib.request.Request(f"{self._product.url}/api/v1{path}", chunk, headers, method="PUT")
        with self._opener.open(request, timeout=60) as answer:
            return json.load(answer)

    def post_page(self, path: str, **fields: str) -> str:
        """The page that a form's post leads to."""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "") or ""
        return self._open(path, urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode())

    def _ask(self, method: str, path: str, value: object) -> tuple[int, Any] | None:
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "")
        headers = {"Content-Type": "application/json", "X-CSRFToken": token or "", "Referer": self._product.url}
        body = None if method == "GET" else json.dumps(value or {}).encode()
        request = urllib.request.Request(f"{self._product.url}/api/v1{path}", body, headers, method=method)
        try:
            with self._opener.open(request, timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            return refused.code, None if refused.code == 404 else json.load(refused)
        except (OSError, HTTPException):
            return None

    def _open(self, path: str, body: bytes | None) -> str:
        headers = {"Referer": self._product.url}
        request = urllib.request.Request(self._product.url + path, body, headers)
        with self._opener.open(request, timeout=20) as answer:
            return str(answer.read().decode())
