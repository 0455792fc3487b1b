"""The console's app."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "portal.console"
