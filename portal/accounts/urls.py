"""Log-in, teams and their members, keys, tokens, sessions, activity."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from portal.accounts import device_views, person_views, team_views, views

urlpatterns = [
    path("login/", login_not_required(views.LogIn.as_view()), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("teams/<slug:slug>/", views.team_switch, name="team_switch"),
    path("keys/", views.keys, name="keys"),
    path("keys/<int:key_id>/delete/", views.key_delete, name="key_delete"),
    path("tokens/", person_views.tokens, name="tokens"),
    path("tokens/<int:token_id>/delete/", person_views.token_delete, name="token_delete"),
    path("device/", device_views.device, name="device"),
    path("sessions/", person_views.sessions, name="sessions"),
    path("sessions/<int:session_id>/end/", person_views.session_end, name="session_end"),
    path("password/", person_views.password, name="password"),
    path("members/", team_views.members, name="members"),
    path("members/add/", team_views.member_add, name="member_add"),
    path("members/<int:member_id>/role/", team_views.member_role, name="member_role"),
    path("members/<int:member_id>/remove/", team_views.member_remove, name="member_remove"),
    path("invitations/", team_views.invite_new, name="invite"),
    path("invitations/<int:invitation_id>/end/", team_views.invite_end, name="invite_end"),
    path("join/<str:secret>/", team_views.invitation, name="invitation"),
    path("activity/", team_views.activity, name="activity"),
]
