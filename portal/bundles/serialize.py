"""Support bundles as the operators' topic tells them."""

from __future__ import annotations

from typing import Any

from django.db.models import Count

from portal.bundles.models import BundleTrace, SupportBundle
from portal.live.events import publish


def _told(bundle: SupportBundle, answered: int) -> dict[str, Any]:
    return {"state": bundle.state, "answered": answered}


def bundle_changed(bundle: SupportBundle) -> None:
    """Tell the operators what a bundle is now, and how many packets were followed in it. Two workers may follow two at
    once: the row is locked, so that the last one to tell has counted the other's."""
    SupportBundle.objects.select_for_update().filter(pk=bundle.pk).first()
    answered = bundle.traces.exclude(state=BundleTrace.State.RUNNING).count()
    publish("hosts", "bundle.changed", f"bundle:{bundle.uuid}", _told(bundle, answered))


def bundle_deleted(bundle: SupportBundle) -> None:
    """Tell the operators that a bundle is gone."""
    publish("hosts", "bundle.deleted", f"bundle:{bundle.uuid}", {})


def bundles_state() -> dict[str, Any]:
    """What the operators' topic tells of bundles, in two queries."""
    done = BundleTrace.objects.exclude(state=BundleTrace.State.RUNNING).order_by()
    answered = dict(done.values_list("bundle_id").annotate(Count("id")))
    return {f"bundle:{one.uuid}": _told(one, answered.get(one.pk, 0)) for one in SupportBundle.objects.all()}
