"""Django's registration of this app."""

from typing import Any

from django.apps import AppConfig


class ChecksConfig(AppConfig):
    name = "portal.checks"

    def ready(self) -> None:
        """A check goes with its ends: the team is told then, too."""
        from django.db.models.signals import pre_delete

        from portal.checks.models import PathCheck
        from portal.checks.serialize import check_deleted

        def tell(sender: object, instance: PathCheck, **_: Any) -> None:
            check_deleted(instance)

        pre_delete.connect(tell, sender=PathCheck, weak=False, dispatch_uid="check_deleted")
