"""Log-in, teams and their members, keys, tokens, sessions, activity."""

from allauth.account.views import ReauthenticateView
from allauth.mfa.base import views as mfa_views
from allauth.mfa.recovery_codes import views as code_views
from allauth.mfa.totp import views as totp_views
from allauth.mfa.webauthn import views as passkey_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from portal.accounts import (
    device_views,
    factor_views,
    language_views,
    person_views,
    service_views,
    team_admin_views,
    team_views,
    views,
    zone_views,
)

log_in = login_not_required(views.LogIn.as_view())
# allauth's views that we need, by the names that allauth itself looks up; nothing else of it answers.
allauth_patterns = [
    path("login/", log_in, name="account_login"),
    path("login/second/", mfa_views.authenticate, name="mfa_authenticate"),
    path("login/passkey/", login_not_required(passkey_views.login_webauthn), name="mfa_login_webauthn"),
    path("login/cancelled/", factor_views.oidc_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/<slug:provider_id>/", factor_views.oidc_login, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/callback/", factor_views.oidc_callback, name="openid_connect_callback"),
    path("security/", factor_views.Security.as_view(), name="mfa_index"),
    path("security/app/", totp_views.activate_totp, name="mfa_activate_totp"),
    path("security/app/remove/", totp_views.deactivate_totp, name="mfa_deactivate_totp"),
    path("security/codes/", code_views.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("security/codes/new/", code_views.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("security/passkeys/new/", passkey_views.add_webauthn, name="mfa_add_webauthn"),
    path("security/passkeys/<int:pk>/remove/", factor_views.RemovePasskey.as_view(), name="mfa_remove_webauthn"),
    path("security/confirm/", ReauthenticateView.as_view(), name="account_reauthenticate"),
    path("security/confirm/code/", mfa_views.reauthenticate, name="mfa_reauthenticate"),
    path("security/confirm/passkey/", passkey_views.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
]

urlpatterns = [
    *allauth_patterns,
    path("login/", log_in, name="login"),
    path("security/identities/<int:identity_id>/remove/", factor_views.identity_remove, name="identity_remove"),
    path("access/", factor_views.access_policy, name="access_policy"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", language_views.language, name="language"),
    path("time-zone/", zone_views.time_zone, name="time_zone"),
    path("teams/<slug:slug>/", views.team_switch, name="team_switch"),
    path("keys/", views.keys, name="keys"),
    path("keys/<int:key_id>/delete/", views.key_delete, name="key_delete"),
    path("tokens/", person_views.tokens, name="tokens"),
    path("tokens/<int:token_id>/delete/", person_views.token_delete, name="token_delete"),
    path("all-teams/", team_admin_views.teams, name="teams"),
    path("all-teams/<slug:slug>/", team_admin_views.team, name="team"),
    path("services/", service_views.services, name="services"),
    path("services/<int:service_id>/", service_views.service_change, name="service_change"),
    path("services/<int:service_id>/tokens/", service_views.service_token, name="service_token"),
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
    path("join/<str:secret>/new/", team_views.invitation_new, name="invitation_new"),
    path("activity/", team_views.activity, name="activity"),
    path("all-activity/", team_views.operator_activity, name="operator_activity"),
]
