"""What a person chose of how the pages speak to them: the language and the time zone of the account."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.zones import zone_names

# Each by the name of its column: the audit's action.
ACTIONS = {"language": "person.language", "time_zone": "person.time_zone"}
MOST_SHOWN = 64


def setting_problems(asked: dict[str, str]) -> dict[str, list[str]]:
    """What is wrong with what was asked, by field; an empty one takes the choice back."""
    problems = {}
    languages = ", ".join(dict(settings.LANGUAGES))
    language, zone = asked.get("language", ""), asked.get("time_zone", "")
    if language and language not in dict(settings.LANGUAGES):
        problems["language"] = [
            gettext("“%(language)s” was given; %(languages)s are there, or nothing for the browser's")
            % {"language": language[:MOST_SHOWN], "languages": languages}
        ]
    if zone and zone not in zone_names():
        problems["time_zone"] = [
            gettext("“%(zone)s” was given; an IANA name such as Europe/Berlin is allowed, or nothing for the browser's")
            % {"zone": zone[:MOST_SHOWN]}
        ]
    return problems


def change_settings(user: User, asked: dict[str, str]) -> None:
    """Keeps in the account what `setting_problems` found nothing wrong with, and audits what differs."""
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        for name, value in asked.items():
            before = getattr(row, name)
            if before == value:
                continue
            change = {"before": {name: before}, "after": {name: value}}
            record(ACTIONS[name], None, row, ("user", str(row.pk), row.username), **change)
            setattr(row, name, value)
            setattr(user, name, value)
        row.save(update_fields=list(ACTIONS))
