"""`manage.py verify_audit`: is every audit row as it was written?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.accounts.audit import problems
from portal.accounts.models import AuditRow


class Command(BaseCommand):
    help = "Check the audit's hash chain; says each row that was changed or is missing, and fails then."

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(problems())
        for line in found:
            self.stderr.write(line)
        if found:
            raise CommandError(f"the audit was tampered with: {len(found)} problem{'s' * (len(found) > 1)}")
        self.stdout.write(f"{AuditRow.objects.count()} rows, each as it was written")
