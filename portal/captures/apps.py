"""Django's registration of this app."""

from django.apps import AppConfig


class CapturesConfig(AppConfig):
    name = "portal.captures"
