"""Backups, and the stores that they lie in."""

from django.urls import path

from portal.backups import views

urlpatterns = [
    path("backups/", views.backups, name="backups"),
    path("backups/<uuid:uuid>/restore/", views.backup_restore, name="backup_restore"),
    path("vms/<uuid:uuid>/backups/", views.vm_backups, name="vm_backups"),
    path("backup-stores/", views.backup_stores, name="backup_stores"),
]
