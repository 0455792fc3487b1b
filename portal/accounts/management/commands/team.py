"""`manage.py team add NAME --owner LOGIN`: a team and its first owner, who invites the others."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.text import slugify

from portal.accounts.models import Team
from portal.accounts.team_admin import LIMITS, TeamMade, TeamSpec, add_owner, change_team, create_team
from portal.accounts.teams import TeamProblem


class Command(BaseCommand):
    help = "Make a team with its owner, or change its limits. The owner invites the rest on the team's page."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("verb", choices=["add"])
        parser.add_argument("name", help="as people call it: Payments")
        parser.add_argument("--owner", required=True, help="a log-in; made with a printed password when it is new")
        for limit in LIMITS:
            parser.add_argument(f"--{limit.replace('_', '-')}", type=int, help="quota (default as for every team)")

    def handle(self, *args: Any, **options: Any) -> None:
        """A team that is there gets the limits and the owner that were given."""
        limits = {limit: options[limit] for limit in LIMITS if options[limit] is not None}
        spec = TeamSpec(options["name"], options["owner"], limits)
        team = Team.objects.filter(slug=slugify(spec.name)).first()
        try:
            with transaction.atomic():
                if team is None:
                    made = create_team(spec, None)
                else:
                    made = TeamMade(change_team(team, spec, None), add_owner(team, spec.owner))
        except TeamProblem as problem:
            lines = [f"{name}: {line}" for name, found in problem.errors.items() for line in found]
            raise CommandError("\n".join(lines)) from None
        self.stdout.write(f"{made.team.name} is {'changed' if team else 'made'}; its owner is {spec.owner}")
        if made.password:
            self.stdout.write(f"log-in {spec.owner} password {made.password}")
