"""Django's registration of this app."""

from django.apps import AppConfig


class DropsConfig(AppConfig):
    name = "portal.drops"
