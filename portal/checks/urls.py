"""Matrices, path checks, what-ifs."""

from django.urls import path

from portal.checks import flow_what_if_views, views, what_if_views

urlpatterns = [
    path("matrix/", views.matrix, name="matrix"),
    path("checks/", views.checks, name="checks"),
    path("checks/<uuid:uuid>/remove/", views.check_remove, name="check_remove"),
    path("what-if/", what_if_views.what_if_new, name="what_if_new"),
    path("what-if/flow/", flow_what_if_views.flow_what_if_new, name="flow_what_if_new"),
    path("what-if/flow/<uuid:uuid>/", flow_what_if_views.flow_what_if, name="flow_what_if"),
    path("what-if/flow/<uuid:uuid>/apply/", flow_what_if_views.flow_what_if_apply, name="flow_what_if_apply"),
    path("what-if/flow/<uuid:uuid>/discard/", flow_what_if_views.flow_what_if_discard, name="flow_what_if_discard"),
    path("what-if/<uuid:uuid>/", what_if_views.what_if, name="what_if"),
    path("what-if/<uuid:uuid>/apply/", what_if_views.what_if_apply, name="what_if_apply"),
    path("what-if/<uuid:uuid>/discard/", what_if_views.what_if_discard, name="what_if_discard"),
]
