"""VMs."""

from django.urls import path

from portal.compute import action_views, change_views, views

urlpatterns = [
    path("vms/", views.vm_list, name="vm_list"),
    path("vms/create/", views.vm_create, name="vm_create"),
    path("vms/create/effect/", views.vm_effect, name="vm_effect"),
    path("vms/<uuid:uuid>/", views.vm, name="vm"),
    path("vms/<uuid:uuid>/delete/", views.vm_delete, name="vm_delete"),
    path("vms/<uuid:uuid>/actions/<slug:action>/", action_views.vm_action, name="vm_action"),
    path("vms/<uuid:uuid>/flags/", action_views.vm_flags, name="vm_flags"),
    path("vms/<uuid:uuid>/change/", change_views.vm_change, name="vm_change"),
]
