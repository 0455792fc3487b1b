"""Django's registration of this app."""

from django.apps import AppConfig


class SearchConfig(AppConfig):
    name = "portal.search"
