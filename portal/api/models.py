"""Answers kept for Idempotency-Key: a create that is sent again gets the first one's answer."""

from __future__ import annotations

from django.db import models


class KeptAnswer(models.Model):
    """`name` is a digest of the caller and the key, `asked` of the request."""

    name = models.CharField(max_length=64, primary_key=True)
    asked = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(default="")
    created_at = models.DateTimeField(auto_now_add=True)
