"""A VM's console."""

from django.urls import path

from portal.console import views

urlpatterns = [
    path("vms/<uuid:uuid>/console/", views.console, name="console"),
    path("vms/<uuid:uuid>/screen.png", views.vm_screen, name="vm_screen"),
    path("vms/<uuid:uuid>/console/ticket/", views.console_ticket, name="console_ticket"),
]
