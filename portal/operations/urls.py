"""Operations."""

from django.urls import path

from portal.operations import views

urlpatterns = [
    path("operations/", views.operations, name="operations"),
    path("operations/<uuid:uuid>/", views.operation, name="operation"),
]
