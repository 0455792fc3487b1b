"""What teams held and for how long, by day, and what an hour of it costs."""

from __future__ import annotations

from django.db import models

from portal.accounts.models import Team


class UsageMeter(models.Model):
    """One row: until when use was counted. Its row lock makes each stretch of time count once, whoever counts."""

    at = models.DateTimeField()


class UsageDay(models.Model):
    """A team's day (UTC). `hours` holds, for each limit of the quota, how much of it was held times for how many hours."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="usage_days")
    day = models.DateField()
    hours = models.JSONField(default=dict)

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["team", "day"], name="one_usage_of_a_team_and_day")]


class PriceList(models.Model):
    """One row: what an hour of one unit costs, as decimal text by the limit's name; none given costs nothing."""

    currency = models.CharField(max_length=8, default="EUR")
    per_hour = models.JSONField(default=dict)
