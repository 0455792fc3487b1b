from __future__ import annotations

from django.urls import path

from portal.topology import flow_history_views, map, topology_history_views, views

urlpatterns = [
    path("topology/", map.topology, name="topology"),
    path("topology/inventory.json", map.topology_inventory, name="topology_inventory"),
    path("topology/history/", topology_history_views.topology_history, name="topology_history"),
    path("flows/", views.flow_hosts, name="flow_hosts"),
    path("flows/<slug:host>/<str:bridge>/", views.flows, name="flows"),
    path("flows/<slug:host>/<str:bridge>/history/", flow_history_views.flows_history, name="flows_history"),
    path("flows/<slug:host>/<str:bridge>/flows.txt", views.flows_export, {"kind": "text"}, name="flows_text"),
    path("flows/<slug:host>/<str:bridge>/flows.json", views.flows_export, {"kind": "json"}, name="flows_json"),
]
