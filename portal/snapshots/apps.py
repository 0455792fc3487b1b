"""Django's registration of this app."""

from django.apps import AppConfig


class SnapshotsConfig(AppConfig):
    name = "portal.snapshots"
