"""Usage and its cost."""

from django.urls import path

from portal.usage import views

urlpatterns = [
    path("usage/", views.team_usage, name="team_usage"),
    path("usage/all/", views.all_usage, name="all_usage"),
]
