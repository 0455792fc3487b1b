"""Dropped packets."""

from django.urls import path

from portal.drops import views

urlpatterns = [path("ports/<uuid:uuid>/sample/", views.port_sample, name="port_sample")]
