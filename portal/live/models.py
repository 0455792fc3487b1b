"""The outbox of durable topics: an event's number is given in the transaction that made it true."""

from __future__ import annotations

from django.db import models


class Topic(models.Model):
    """The last sequence number of a topic; its row is locked while an event is added, so numbers follow commits."""

    name = models.CharField(max_length=100, primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)


class Event(models.Model):
    topic = models.CharField(max_length=100)
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    type = models.CharField(max_length=40)
    object = models.CharField(max_length=100)
    data = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["topic", "seq"], name="one_event_per_number")]
