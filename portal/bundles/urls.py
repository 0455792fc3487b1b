from __future__ import annotations

from django.urls import path

from portal.bundles import views

urlpatterns = [
    path("bundles/", views.bundles, name="bundles"),
    path("bundles/<uuid:uuid>/", views.bundle, name="bundle"),
    path("bundles/<uuid:uuid>/delete/", views.bundle_delete, name="bundle_delete"),
    path("bundles/trace/<uuid:uuid>/", views.bundle_trace, name="bundle_trace"),
]
