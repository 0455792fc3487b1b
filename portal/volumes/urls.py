"""Volumes and storage pools."""

from django.urls import path

from portal.volumes import views

urlpatterns = [
    path("volumes/", views.volumes, name="volumes"),
    path("volumes/<uuid:uuid>/", views.volume, name="volume"),
    path("pools/", views.pools, name="pools"),
]
