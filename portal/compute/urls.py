"""VMs."""

from django.urls import path

from portal.compute import views

urlpatterns = [
    path("vms/", views.vm_list, name="vm_list"),
    path("vms/create/", views.vm_create, name="vm_create"),
    path("vms/<uuid:uuid>/", views.vm, name="vm"),
    path("vms/<uuid:uuid>/delete/", views.vm_delete, name="vm_delete"),
]
