"""Hosts."""

from django.urls import path

from portal.hosts import manage_views, orphan_views, views

urlpatterns = [
    path("hosts/", views.hosts, name="hosts"),
    path("hosts/new/", manage_views.host_new, name="host_new"),
    path("hosts/<slug:name>/", manage_views.host, name="host"),
    path("hosts/<slug:name>/edit/", manage_views.host_edit, name="host_edit"),
    path("hosts/<slug:name>/load/", views.host_load, name="host_load"),
    path("hosts/<slug:name>/clean/", orphan_views.host_clean, name="host_clean"),
    path("orphans/", orphan_views.orphans, name="orphans"),
    path("hosts/<slug:host>/plug/", views.host_plug, name="host_plug"),
]
