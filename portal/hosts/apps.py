"""Django's registration of this app."""

from django.apps import AppConfig


class HostsConfig(AppConfig):
    name = "portal.hosts"
