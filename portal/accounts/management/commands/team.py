"""`manage.py team add NAME --owner LOGIN`: a team and its first owner, who invites the others."""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.text import slugify

from portal.accounts.audit import record
from portal.accounts.models import Membership, Role, Team, User

LIMITS = ("max_vms", "max_vcpus", "max_ram_mib", "max_disk_gib", "max_volumes", "max_volume_gib")


class Command(BaseCommand):
    help = "Make a team with its owner, or change its limits. The owner invites the rest on the team's page."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("verb", choices=["add"])
        parser.add_argument("name", help="as people call it: Payments")
        parser.add_argument("--owner", required=True, help="a log-in; made with a printed password when it is new")
        for limit in LIMITS:
            parser.add_argument(f"--{limit.replace('_', '-')}", type=int, help="quota (default as for every team)")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        slug = slugify(options["name"])
        if not slug or len(options["name"]) > 60:
            raise CommandError(
                f"“{options['name']}” was given; a name is 1 to 60 characters with a letter or digit in it"
            )
        limits = {limit: options[limit] for limit in LIMITS if options[limit] is not None}
        if wrong := [
            f"{limit}: {value} was given, at least 0 is allowed" for limit, value in limits.items() if value < 0
        ]:
            raise CommandError("\n".join(wrong))
        team, made = Team.objects.update_or_create(slug=slug, defaults={"name": options["name"], **limits})
        owner, fresh = User.objects.get_or_create(username=options["owner"])
        Membership.objects.update_or_create(user=owner, team=team, defaults={"role": Role.OWNER})
        record("team.add" if made else "team.change", team, None, ("team", slug, team.name), after={"owner": owner.username, **limits})  # fmt: skip
        self.stdout.write(f"{team.name} is {'made' if made else 'changed'}; its owner is {owner.username}")
        if fresh:
            password = secrets.token_urlsafe(15)
            owner.set_password(password)
            owner.save()
            self.stdout.write(f"log-in {owner.username} password {password}")
