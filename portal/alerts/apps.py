"""Django's registration of this app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "portal.alerts"
