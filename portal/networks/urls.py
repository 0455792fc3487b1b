"""Networks."""

from django.urls import path

from portal.networks import views

urlpatterns = [path("networks/", views.networks, name="networks")]
