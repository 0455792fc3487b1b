"""Alerts and channels."""

from django.urls import path

from portal.alerts import views

urlpatterns = [
    path("alerts/", views.alerts, name="alerts"),
    path("alerts/<uuid:uuid>/", views.alert_handle, name="alert_handle"),
    path("alerts/rules/<uuid:uuid>/remove/", views.alert_rule_remove, name="alert_rule_remove"),
    path("channels/", views.channels, name="channels"),
    path("channels/<uuid:uuid>/", views.channel_act, name="channel_act"),
]
