"""Django's registration of this app."""

from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    name = "portal.dashboards"
