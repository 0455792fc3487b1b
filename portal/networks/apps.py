"""Django's registration of this app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class NetworksConfig(AppConfig):
    name = "portal.networks"

    def ready(self) -> None:
        post_save.connect(_groups_of_a_new_team, sender="accounts.Team", dispatch_uid="groups of a new team")


def _groups_of_a_new_team(instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    from portal.networks.groups import ensure_groups  # models may be imported only when every app is ready

    if created and not raw:
        ensure_groups(instance.pk)
