"""Django's registration of this app."""

from django.apps import AppConfig


class ImagesConfig(AppConfig):
    name = "portal.images"
