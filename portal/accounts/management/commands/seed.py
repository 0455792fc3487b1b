"""`manage.py seed`: the first teams, people, sizes and networks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.config.seed import keep_passwords, seed_rows


class Command(BaseCommand):
    help = "Make the first teams, people, sizes and networks. Running it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        fresh = seed_rows()
        if fresh:
            keep_passwords(fresh)
        for name, password in fresh.items():
            self.stdout.write(f"log-in {name} password {password}")
