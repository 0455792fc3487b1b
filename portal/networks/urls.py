"""Networks and security groups."""

from django.urls import path

from portal.networks import group_views, views

urlpatterns = [
    path("networks/", views.networks, name="networks"),
    path("security-groups/", group_views.security_groups, name="security_groups"),
    path("security-groups/<uuid:uuid>/", group_views.security_group, name="security_group"),
    path("security-groups/<uuid:uuid>/delete/", group_views.security_group_delete, name="security_group_delete"),
    path(
        "security-groups/<uuid:uuid>/rules/<int:rule_id>/delete/",
        group_views.security_rule_delete,
        name="security_rule_delete",
    ),
    path("ports/<uuid:uuid>/groups/", group_views.port_groups, name="port_groups"),
    path("ports/<uuid:uuid>/security/", group_views.port_security, name="port_security"),
]
