"""Captures."""

from django.urls import path

from portal.captures import views

urlpatterns = [
    path("trace/<uuid:uuid>/capture/", views.capture_new, name="capture_new"),
    path("captures/<uuid:uuid>/", views.capture, name="capture"),
    path("captures/<uuid:uuid>/stop/", views.capture_stop, name="capture_stop"),
    path("captures/<uuid:uuid>/packets.pcapng", views.capture_file, name="capture_file"),
]
