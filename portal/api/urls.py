"""The API's documentation."""

from django.urls import path

from portal.api import views

urlpatterns = [path("api/docs/", views.api_docs, name="api_docs")]
