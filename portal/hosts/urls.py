"""Hosts."""

from django.urls import path

from portal.hosts import views

urlpatterns = [
    path("hosts/", views.hosts, name="hosts"),
    path("hosts/<slug:name>/load/", views.host_load, name="host_load"),
    path("hosts/<slug:host>/plug/", views.host_plug, name="host_plug"),
]
