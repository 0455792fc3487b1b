"""Log-in, teams, keys."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from portal.accounts import views

urlpatterns = [
    path("login/", login_not_required(views.LogIn.as_view()), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("teams/<slug:slug>/", views.team_switch, name="team_switch"),
    path("keys/", views.keys, name="keys"),
    path("keys/<int:key_id>/delete/", views.key_delete, name="key_delete"),
]
