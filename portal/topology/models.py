"""What was last seen on each host. Both columns are observed and may be thrown away: the next look fills them again."""

from __future__ import annotations

from django.db import models

from portal.hosts.models import Host


class HostSeen(models.Model):
    """One host's Open vSwitch as OVSDB has it (the controller writes it), and its domains that no row of ours explains
    (the collector writes them). `changed_at` moves only when one of them differs."""

    host = models.OneToOneField(Host, on_delete=models.CASCADE, related_name="seen")
    switch = models.JSONField(null=True, help_text="sdn.model.switch, none until the controller reached it")
    foreign_domains = models.JSONField(default=list, help_text="[{name, uuid, state}], by name")
    changed_at = models.DateTimeField(auto_now=True)
