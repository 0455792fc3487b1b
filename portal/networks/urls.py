"""Networks, routers, floating addresses, external networks, security groups."""

from django.urls import path

from portal.networks import (
    external_views,
    floating_views,
    group_views,
    limit_views,
    mirror_views,
    pair_views,
    provider_views,
    router_views,
    subnet_views,
    views,
)

urlpatterns = [
    path("networks/", views.networks, name="networks"),
    path("networks/new/", views.network_create, name="network_create"),
    path("networks/<uuid:uuid>/", views.network, name="network"),
    path("networks/<uuid:uuid>/delete/", views.network_delete, name="network_delete"),
    path("networks/<uuid:uuid>/subnets/<int:subnet_id>/", subnet_views.subnet, name="subnet"),
    path("networks/<uuid:uuid>/reservations/", subnet_views.reservation_add, name="reservation_add"),
    path(
        "networks/<uuid:uuid>/reservations/<uuid:port>/release/",
        subnet_views.reservation_release,
        name="reservation_release",
    ),
    path("networks/<uuid:uuid>/subnets/<int:subnet_id>/delete/", views.subnet_delete, name="subnet_delete"),
    path("routers/", router_views.routers, name="routers"),
    path("routers/<uuid:uuid>/", router_views.router, name="router"),
    path("routers/<uuid:uuid>/change/", router_views.router_change, name="router_change"),
    path("routers/<uuid:uuid>/delete/", router_views.router_delete, name="router_delete"),
    path("floating/", floating_views.floating, name="floating"),
    path("floating/<uuid:uuid>/", floating_views.floating_change, name="floating_change"),
    path("vms/<uuid:uuid>/floating/", floating_views.vm_floating, name="vm_floating"),
    path("external-networks/", external_views.external_networks, name="external_networks"),
    path("external-networks/<uuid:uuid>/delete/", external_views.external_delete, name="external_delete"),
    path("provider-networks/", provider_views.provider_networks, name="provider_networks"),
    path("provider-networks/<uuid:uuid>/share/", provider_views.provider_share, name="provider_share"),
    path("provider-networks/<uuid:uuid>/delete/", provider_views.provider_delete, name="provider_delete"),
    path("security-groups/", group_views.security_groups, name="security_groups"),
    path("security-groups/<uuid:uuid>/", group_views.security_group, name="security_group"),
    path("security-groups/<uuid:uuid>/delete/", group_views.security_group_delete, name="security_group_delete"),
    path(
        "security-groups/<uuid:uuid>/rules/<int:rule_id>/delete/",
        group_views.security_rule_delete,
        name="security_rule_delete",
    ),
    path("mirrors/", mirror_views.mirrors, name="mirrors"),
    path("mirrors/<uuid:uuid>/end/", mirror_views.mirror_end, name="mirror_end"),
    path("ports/<uuid:uuid>/groups/", group_views.port_groups, name="port_groups"),
    path("ports/<uuid:uuid>/pairs/", pair_views.port_pairs, name="port_pairs"),
    path("ports/<uuid:uuid>/limits/", limit_views.port_limits, name="port_limits"),
    path("ports/<uuid:uuid>/security/", group_views.port_security, name="port_security"),
]
