"""Samples of 64 objects of one kind at one time: few rows, so that thirty days of a large deployment are kept.

One row for each object and time would be some hundred million rows for 10,000 VMs with 50,000 ports; by 64 it is seven.
"""

from __future__ import annotations

from django.db import models


class Samples(models.Model):
    """`packed` holds for each field of the kind the 64 objects' means, and for steps above the first their peaks."""

    kind = models.PositiveSmallIntegerField()
    step_s = models.PositiveSmallIntegerField()
    page = models.PositiveIntegerField(help_text="the objects' ids, divided by 64")
    at_s = models.PositiveBigIntegerField(help_text="when it begins, in seconds since 1970")
    packed = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "step_s", "page", "at_s"], name="one_sample_of_a_page"),
        ]
        indexes = [models.Index(fields=["step_s", "at_s"], name="samples_by_age")]
