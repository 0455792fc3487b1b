"""Django's registration of this app."""

from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "portal.usage"
