"""Hosts."""

from django.urls import path

from portal.hosts import views

urlpatterns = [path("hosts/", views.hosts, name="hosts")]
