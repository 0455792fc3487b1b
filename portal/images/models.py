"""How an image of a team came, and what it holds of the team's room for images."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import Team, User
from portal.compute.models import Image
from portal.hosts.models import Host


class ImageImport(models.Model):
    """One import. `image` is set when it ended well; one that ended badly has no row, only its operation's words."""

    class Source(models.TextChoices):
        UPLOAD = "upload", _("uploaded")
        URL = "url", _("fetched")
        VM = "vm", _("made of a VM")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="image_imports")
    name = models.CharField(max_length=60)
    slug = models.SlugField(max_length=40, unique=True)
    note = models.CharField(max_length=120, default="", blank=True)
    source = models.CharField(max_length=6, choices=Source.choices)
    url = models.CharField(max_length=500, default="", blank=True)
    disk_format = models.CharField(max_length=10)
    checksum = models.CharField(max_length=128, default="", blank=True, help_text="SHA-256 or SHA-512, in hex")
    login_user = models.CharField(max_length=32, default="root")
    min_ram_mib = models.PositiveIntegerField(default=64)
    min_disk_gib = models.PositiveIntegerField(default=1)
    os_family = models.CharField(max_length=10, default="", blank=True)
    size_bytes = models.PositiveBigIntegerField(help_text="what it holds of the team's room; fetched: at most so much")
    received_bytes = models.PositiveBigIntegerField(default=0)
    image = models.OneToOneField(Image, on_delete=models.CASCADE, null=True, blank=True, related_name="came_by")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    @property
    def percent(self) -> int:
        """How much of an upload is here."""
        return 100 * self.received_bytes // max(1, self.size_bytes)

    @property
    def is_complete(self) -> bool:
        """Whether every byte of an upload is here."""
        return self.source == self.Source.UPLOAD and self.received_bytes == self.size_bytes


class ImageCopy(models.Model):
    """An image's file on a host, where VMs' disks lie on it. An operator's wish for one is a row without a path."""

    class State(models.TextChoices):
        WANTED = "wanted", _("to be pulled")
        THERE = "there", _("there")
        LEAVING = "leaving", _("to be evicted")

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="copies")
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="image_copies")
    path = models.CharField(max_length=300, default="", blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.THERE)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(
        max_length=64, default="", blank=True, help_text="none: it is the store's own file, linked"
    )
    came_from = models.CharField(max_length=60, default="", blank=True, help_text="a host's name, or the store")
    words = models.CharField(max_length=300, default="", blank=True, help_text="why the last wish came to nothing")
    pulled_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, help_text="a VM's disk was last made on it")

    class Meta:
        ordering = ["host__name", "id"]
        constraints = [models.UniqueConstraint(fields=["image", "host", "path"], name="one_copy_of_a_file_per_host")]

    def __str__(self) -> str:
        return f"{self.image} on {self.host}"
