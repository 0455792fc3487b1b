"""`manage.py operator NAME`: the first person of a deployment, who may see hosts and make teams."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.audit import record
from portal.accounts.models import User


class Command(BaseCommand):
    help = "Make an operator, or make a person one, and print a new password for a person who had none."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the log-in")
        parser.add_argument("--new-password", action="store_true", help="a new password for a person who has one")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if (
            not name.isascii()
            or not name.replace("-", "").replace("_", "").replace(".", "").isalnum()
            or len(name) > 40
        ):
            raise CommandError(f"“{name}” was given; a log-in is 1 to 40 of a-z, 0-9, dots, hyphens and underscores")
        user, made = User.objects.get_or_create(username=name, defaults={"is_operator": True})
        if not user.is_operator:
            user.is_operator = True
            user.save(update_fields=["is_operator"])
        record("operator.make", None, None, ("user", name, name))
        if not made and not options["new_password"]:
            self.stdout.write(f"{name} is an operator; the password stays (--new-password makes another)")
            return
        password = secrets.token_urlsafe(15)
        user.set_password(password)
        user.save()
        self.stdout.write(f"{name} is an operator; password {password}")
