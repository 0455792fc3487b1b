"""Support bundles in a worker: the upload is unpacked and tried in a shadow switch, and packets are followed there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from django.db import transaction

from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.requests import archive_of, folder_of
from portal.bundles.serialize import bundle_changed
from sdn.bundle import Bundle, BundleError, BundleShadow, read_bundle
from sdn.bundle.unpack import unpack
from sdn.model.trace import to_json
from sdn.shadow import ShadowError
from tasks.bundles import past_endpoints, trace_bundle
from tasks.raw_flows import FlowProblem

log = logging.getLogger("hopsight.bundles")
UNPACKED, PROBLEMS_KEPT, MOST_PAST = "files", 500, 200
BROKE = "It could not be read: the log of the worker has the details."


def read_upload(bundle_id: int) -> None:
    """Make the bundle ready, or say what is wrong with it; the archive itself is not kept. May run twice."""
    row = SupportBundle.objects.filter(pk=bundle_id, state=SupportBundle.State.READING).first()
    if row is None:
        return
    try:
        refused = unpack(archive_of(row), _fresh(row))
        bundle = read_bundle(folder_of(row) / UNPACKED)
        with BundleShadow(bundle) as loaded:
            problems = [*refused, *loaded.problems]
        row.host, row.facts, row.problems = bundle.host, _facts(bundle), problems[:PROBLEMS_KEPT]
        row.state = SupportBundle.State.READY
    except (BundleError, ShadowError) as problem:
        row.state, row.error = SupportBundle.State.FAILED, str(problem)
    except Exception:  # the task's edge: whoever waits must be told
        log.exception("bundle=%s was not read", row.uuid)
        row.state, row.error = SupportBundle.State.FAILED, BROKE
    archive_of(row).unlink(missing_ok=True)
    if row.state == SupportBundle.State.FAILED:
        _fresh(row)
    with transaction.atomic():
        if SupportBundle.objects.filter(pk=row.pk).exists():  # deleted meanwhile: its files went with it
            row.save(update_fields=["state", "error", "host", "facts", "problems"])
            bundle_changed(row)


def run_bundle_trace(trace_id: int) -> None:
    """Follow the packet and tell; what is wrong with it ends as words."""
    row = BundleTrace.objects.filter(pk=trace_id, state=BundleTrace.State.RUNNING).select_related("bundle").first()
    if row is None:
        return
    try:
        with BundleShadow(read_bundle(folder_of(row.bundle) / UNPACKED)) as loaded:
            row.result = to_json(trace_bundle(loaded, row.bridge, row.flow, tuple(row.ct_next)))
        row.state = BundleTrace.State.DONE
    except (BundleError, ShadowError, FlowProblem) as problem:
        row.state, row.error = BundleTrace.State.FAILED, str(problem)
    except Exception:  # the task's edge
        log.exception("bundle_trace=%s failed", row.uuid)
        row.state, row.error = BundleTrace.State.FAILED, BROKE
    with transaction.atomic():
        BundleTrace.objects.filter(pk=row.pk).update(result=row.result, state=row.state, error=row.error)
        bundle_changed(row.bundle)


def _fresh(row: SupportBundle) -> Path:
    """An empty folder for its files."""
    folder = folder_of(row) / UNPACKED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _facts(bundle: Bundle) -> dict[str, Any]:
    bridges = [
        {
            "name": bridge.name, "flows": len(bridge.flows),
            "ports": [{"name": one.name, "ofport": one.ofport} for port in bridge.ports for one in port.interfaces if one.ofport],
        }
        for bridge in bundle.bridges
    ]  # fmt: skip
    past = [
        {"guest": end.name, "mac": end.mac, "words": words.label, "truth": words.truth}
        for end in past_endpoints(bundle)
        if (words := end.chain.bypass) is not None
    ]
    return {"bridges": bridges, "guests": sorted({guest.domain for guest in bundle.guests}), "past": past[:MOST_PAST]}
