"""Operations."""

from django.urls import path

from portal.operations import views

urlpatterns = [
    path("operations/", views.operations, name="operations"),
    path("operations/<uuid:uuid>/", views.operation, name="operation"),
    path("operations/<uuid:uuid>/cancel/", views.operation_cancel, name="operation_cancel"),
    path("operations/<uuid:uuid>/retry/", views.operation_retry, name="operation_retry"),
]
