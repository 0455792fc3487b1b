"""Django's registration, so that manage.py finds the commands that join rows with hosts."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "tasks"
