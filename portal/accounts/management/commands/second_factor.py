"""`manage.py second_factor forget NAME`: for somebody who lost their phone and their recovery codes."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.factors import forget_factors
from portal.accounts.models import User


class Command(BaseCommand):
    help = "Take a person's second factors away: they log in by password alone and set up new ones."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("verb", choices=["forget"])
        parser.add_argument("name", help="the log-in")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"nobody logs in as {options['name']}")
        count = forget_factors(user)
        self.stdout.write(f"{user.username}: {count} second factor{'s' * (count != 1)} forgotten, the password stays")
