"""People and teams. A team owns everything; a person belongs to teams with a role."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person. `is_operator` may see and run hosts; it gives no right over teams' objects."""

    is_operator = models.BooleanField(default=False)


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


class Team(models.Model):
    """Owner of VMs and networks. The quota columns are limits; use is summed from the rows under this row's lock."""

    name = models.CharField(max_length=60, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    max_vcpus = models.PositiveIntegerField(default=16)
    max_ram_mib = models.PositiveIntegerField(default=8192)
    max_disk_gib = models.PositiveIntegerField(default=100)
    max_vms = models.PositiveIntegerField(default=20)
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", related_name="teams"
    )

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="one_role_per_person_and_team")]
