"""Snapshots of a VM."""

from django.urls import path

from portal.snapshots import views

urlpatterns = [path("vms/<uuid:uuid>/snapshots/", views.vm_snapshots, name="vm_snapshots")]
