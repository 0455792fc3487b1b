"""Django's registration of this app."""

from django.apps import AppConfig


class BackupsConfig(AppConfig):
    name = "portal.backups"
