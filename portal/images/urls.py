"""Images."""

from django.urls import path

from portal.images import views

urlpatterns = [
    path("images/", views.images, name="images"),
    path("images/<slug:slug>/", views.image, name="image"),
    path("images/<slug:slug>/share/", views.image_share, name="image_share"),
    path("images/<slug:slug>/publish/", views.image_publish, name="image_publish"),
    path("images/<slug:slug>/pull/", views.image_pull, name="image_pull"),
    path("image-copies/<int:number>/evict/", views.image_copy_evict, name="image_copy_evict"),
    path("images/<uuid:uuid>/delete/", views.image_delete, name="image_delete"),
]
