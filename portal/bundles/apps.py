"""Django's registration of this app."""

from django.apps import AppConfig


class BundlesConfig(AppConfig):
    name = "portal.bundles"
