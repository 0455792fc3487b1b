"""Django's registration of this app."""

from django.apps import AppConfig


class VolumesConfig(AppConfig):
    name = "portal.volumes"
