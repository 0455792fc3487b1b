"""What was last seen on each host, and what changed there. All of it is observed and may be thrown away: the next look fills
the rows again, and their history begins anew."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.hosts.models import Host


class HostSeen(models.Model):
    """One host's Open vSwitch as OVSDB has it (the controller writes it), and its domains that no row of ours explains, its LLDP
    neighbours and its network namespaces (the collector writes these). `changed_at` moves only when one of them differs."""

    host = models.OneToOneField(Host, on_delete=models.CASCADE, related_name="seen")
    switch = models.JSONField(null=True, help_text="sdn.model.switch, none until the controller reached it")
    foreign_domains = models.JSONField(default=list, help_text="[{name, uuid, state}], by name")
    lldp = models.JSONField(null=True, help_text="portal.topology.neighbours, none until the collector looked")
    namespaces = models.JSONField(null=True, help_text="portal.topology.namespaces, none until the collector looked")
    changed_at = models.DateTimeField(auto_now=True)
    known_from = models.DateTimeField(null=True, help_text="the oldest instant that the changes lead back to")
    switch_seen_at = models.DateTimeField(null=True, help_text="when the switch was last known to be as `switch` says")
    away = models.TextField(default="", blank=True, help_text="why the switch is not known now; empty while it is")


class TopologyChange(models.Model):
    """What changed of one object on a host, and why; or a gap, in which nobody could tell. What was there at an instant is
    had by undoing the later ones (portal.topology.topology_rows)."""

    class Kind(models.TextChoices):
        CHANGED = "changed", _("changed")
        FOUND = "found", _("found changed after a gap")
        GAP = "gap", _("not known")

    class By(models.TextChoices):
        OPERATION = "operation", _("operation")
        PERSON = "person", _("person")
        RECONCILER = "reconciler", _("Hopsight itself")
        FOREIGN = "foreign", _("foreign")

    seen = models.ForeignKey(HostSeen, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True, help_text="a gap's end")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CHANGED)
    why = models.TextField(default="", blank=True, help_text="a gap's reason")
    generation = models.PositiveBigIntegerField(default=0)
    object = models.TextField(default="", blank=True, help_text='"port br-int/vnet7" (topology_objects)')
    before = models.JSONField(null=True, blank=True, help_text="none: it was not there")
    after = models.JSONField(null=True, blank=True, help_text="none: it is no more")
    by = models.CharField(max_length=10, choices=By.choices, default=By.FOREIGN)
    cause = models.TextField(default="", blank=True, help_text="in the words of then")
    operation = models.UUIDField(null=True, blank=True, db_index=True)
    vm = models.UUIDField(null=True, blank=True, db_index=True, help_text="of ours, that it is plugged for")
    guest = models.TextField(default="", blank=True, help_text="that VM, or the foreign domain, in the words of then")

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["seen", "at"], name="topology_change_at")]


class FlowRecord(models.Model):
    """One bridge whose flow table's history is kept. `seen_at` is when it was last known to be as the rows below say."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="flow_records")
    bridge = models.CharField(max_length=64)
    seen_at = models.DateTimeField()
    away = models.TextField(default="", blank=True, help_text="why its flows are not known now; empty while they are")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "bridge"], name="one_record_a_bridge")]


class FlowCheckpoint(models.Model):
    """The whole table at an instant, packed (portal.topology.flow_rows)."""

    record = models.ForeignKey(FlowRecord, on_delete=models.CASCADE, related_name="checkpoints")
    at = models.DateTimeField()
    count = models.PositiveIntegerField()
    flows = models.BinaryField()

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["record", "at"], name="flow_checkpoint_at")]


class FlowChange(models.Model):
    """What changed at an instant, or a gap in which nobody could tell. `lines` are packed changes, in order."""

    class Kind(models.TextChoices):
        CHANGED = "changed", _("changed")
        FOUND = "found", _("found changed after a gap")
        GAP = "gap", _("not known")

    record = models.ForeignKey(FlowRecord, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True, help_text="a gap's end")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CHANGED)
    why = models.TextField(default="", blank=True)
    generation = models.PositiveBigIntegerField(default=0)
    set_flows = models.PositiveIntegerField(default=0, help_text="added or given other actions")
    removed = models.PositiveIntegerField(default=0)
    foreign = models.PositiveIntegerField(default=0, help_text="of both: flows without our mark")
    causes = models.JSONField(default=list, blank=True, help_text="the causes in the words of then, a few")
    lines = models.BinaryField(default=bytes)

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["record", "at"], name="flow_change_at")]
