"""Letters about alerts, in the language of whom they are for. Webhooks and chats are told in English: programs and whole teams read them."""

from __future__ import annotations

from django.utils.translation import gettext

from portal.accounts.models import User
from portal.alerts.models import Channel, Delivery
from portal.config.told import told

ENGLISH = "en"


def language_of_address(channel: Channel) -> str:
    """What the member of the channel's team chose who has its address; English where none has, or none chose."""
    members = User.objects.filter(memberships__team=channel.team, email__iexact=channel.target, is_active=True)
    chosen = members.exclude(language="").order_by("id").values_list("language", flat=True).first()
    return chosen or ENGLISH


def letter_words(delivery: Delivery) -> str:
    """The message as a sentence in the language that is spoken now; nothing for what has no words."""
    alert, team = delivery.body.get("data") or {}, delivery.channel.team.name
    if delivery.type == "alert.firing":
        words = f"{told(alert['words'])}. {told(alert['detail'])}".strip()
        return gettext("%(team)s: %(words)s") % {"team": team, "words": words}
    if delivery.type == "alert.over":
        return gettext("%(team)s: over: %(words)s") % {"team": team, "words": told(alert["words"])}
    return told(str(delivery.body.get("words", "")))
