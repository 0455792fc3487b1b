"""Django's registration of this app."""

from django.apps import AppConfig


class TracesConfig(AppConfig):
    name = "portal.traces"
