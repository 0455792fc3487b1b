"""Every URL of the portal, by noun."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

from portal.api.api import api

APPS = (
    "dashboards", "alerts", "search", "accounts", "compute", "images", "volumes", "snapshots", "backups", "console", "networks", "hosts", "operations", "traces", "captures", "bundles", "checks", "topology", "metrics", "drops", "usage",
)  # fmt: skip

urlpatterns: list[URLPattern | URLResolver] = [path("", include("portal.api.urls")), path("api/v1/", api.urls)]
urlpatterns += [path("", include(f"portal.{app}.urls")) for app in APPS if find_spec(f"portal.{app}.urls")]
