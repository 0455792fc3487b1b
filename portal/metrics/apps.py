"""Django's registration of this app."""

from django.apps import AppConfig


class MetricsConfig(AppConfig):
    name = "portal.metrics"
