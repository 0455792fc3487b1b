"""One message to one channel: an HTTP POST to a public address, or an e-mail. No redirect is followed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import smtplib
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import translation

from portal.alerts.letters import language_of_address, letter_words
from portal.alerts.models import Channel, Delivery
from tasks.hypervisor.disks import DiskProblem
from tasks.images.fetch import connect

PATIENCE_S = 10.0
Headers = dict[str, str]


class NotSent(Exception):
    """The message did not arrive; the words say why."""


def send(delivery: Delivery) -> str:
    """What the receiver answered. Raises NotSent."""
    channel = delivery.channel
    if channel.kind == Channel.Kind.EMAIL:
        return _mail(delivery)
    is_chat = channel.kind == Channel.Kind.CHAT
    body = json.dumps({"text": words_of(delivery)} if is_chat else delivery.body, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Hopsight"}
    if not is_chat:
        headers |= signed(delivery, body, int(time.time()))
    return _post(channel.target, body, headers)


def signed(delivery: Delivery, body: bytes, at_s: int) -> Headers:
    """The headers by which a receiver knows that the body is ours, whole, and not an old one played again."""
    mac = hmac.new(delivery.channel.secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return {
        "Hopsight-Event": delivery.type,
        "Hopsight-Delivery": str(delivery.uuid),
        "Hopsight-Signature": f"t={at_s},v1={mac.hexdigest()}",
    }


def words_of(delivery: Delivery) -> str:
    """The message as a sentence for people."""
    return str(delivery.body.get("words") or f"{delivery.type} {delivery.body.get('object', '')}".strip())


def _post(url: str, body: bytes, headers: Headers) -> str:
    parts = urlsplit(url)
    try:
        connection = connect(parts, settings.HOOKS_ALSO, "", PATIENCE_S)
    except DiskProblem as problem:
        raise NotSent(str(problem)) from None
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise NotSent(f"{parts.hostname} did not answer: {str(problem)[:150] or repr(problem)}") from None
    finally:
        connection.close()
    told = f"{answer.status} {answer.reason[:60]}"
    if not 200 <= answer.status < 300:
        raise NotSent(f"{parts.hostname} answered {told}")
    return told


def _mail(delivery: Delivery) -> str:
    """In the language of the member who has the address; the details, which programs may read, are English."""
    with translation.override(language_of_address(delivery.channel)):
        words = letter_words(delivery) or words_of(delivery)
    details = json.dumps(delivery.body.get("data") or {}, indent=2)
    subject = " ".join(words.split())[:150]
    try:
        EmailMessage(f"[Hopsight] {subject}", f"{words}\n\n{details}\n", settings.MAIL_FROM, [delivery.channel.target]).send()  # fmt: skip
    except (OSError, smtplib.SMTPException) as problem:
        raise NotSent(f"the mail server did not take it: {str(problem)[:200]}") from None
    return "taken by the mail server"
