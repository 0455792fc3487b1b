"""VMs."""

from django.urls import path

from portal.compute import (
    action_views,
    adopt_views,
    change_views,
    device_views,
    list_views,
    move_views,
    nic_views,
    snippet_views,
    views,
)

urlpatterns = [
    path("vms/", views.vm_list, name="vm_list"),
    path("vms/bulk/", list_views.vm_bulk, name="vm_bulk"),
    path("vms/columns/", list_views.vm_columns, name="vm_columns"),
    path("vms/filters/", list_views.vm_filters, name="vm_filters"),
    path("vms/<uuid:uuid>/lease/", list_views.vm_lease, name="vm_lease"),
    path("vms/<uuid:uuid>/tags/", list_views.vm_tags, name="vm_tags"),
    path("hosts/<slug:name>/maintenance/", move_views.host_maintenance, name="host_maintenance"),
    path("hosts/<slug:name>/evacuate/", move_views.host_evacuate, name="host_evacuate"),
    path("hosts/<slug:name>/foreign/<uuid:uuid>/", adopt_views.foreign_domain, name="foreign_domain"),
    path("vms/<uuid:uuid>/let-go/", adopt_views.vm_let_go, name="vm_let_go"),
    path("vms/<uuid:uuid>/move/", move_views.vm_move, name="vm_move"),
    path("snippets/", snippet_views.snippets, name="snippets"),
    path("snippets/<int:number>/delete/", snippet_views.snippet_delete, name="snippet_delete"),
    path("vms/devices/", device_views.vm_devices, name="vm_devices"),
    path("emulated-devices/", device_views.emulated_devices, name="emulated_devices"),
    path("vms/create/", views.vm_create, name="vm_create"),
    path("vms/create/effect/", views.vm_effect, name="vm_effect"),
    path("vms/<uuid:uuid>/", views.vm, name="vm"),
    path("vms/<uuid:uuid>/delete/", views.vm_delete, name="vm_delete"),
    path("vms/<uuid:uuid>/actions/<slug:action>/", action_views.vm_action, name="vm_action"),
    path("vms/<uuid:uuid>/flags/", action_views.vm_flags, name="vm_flags"),
    path("vms/<uuid:uuid>/change/", change_views.vm_change, name="vm_change"),
    path("vms/<uuid:uuid>/nics/", nic_views.vm_nics, name="vm_nics"),
]
