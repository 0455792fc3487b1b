"""Images."""

from django.urls import path

from portal.images import views

urlpatterns = [
    path("images/", views.images, name="images"),
    path("images/<uuid:uuid>/delete/", views.image_delete, name="image_delete"),
]
