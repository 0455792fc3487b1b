"""The first page, and boards."""

from django.urls import path

from portal.dashboards import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("boards/", views.board_new, name="board_new"),
    path("boards/<uuid:uuid>/", views.board, name="board"),
    path("boards/<uuid:uuid>/change/", views.board_change, name="board_change"),
    path("board/change/", views.team_board_change, name="team_board_change"),
    path("status/", views.status_line, name="status_line"),
]
