"""The first page."""

from django.urls import path

from portal.dashboards import views

urlpatterns = [path("", views.dashboard, name="dashboard"), path("status/", views.status_line, name="status_line")]
