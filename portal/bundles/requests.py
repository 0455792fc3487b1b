"""Taking in a support bundle, asking about a packet in it, and letting it go: what page and API share."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.serialize import bundle_changed, bundle_deleted
from portal.operations.dispatch import enqueue_bundle, enqueue_bundle_trace
from portal.traces.raw import PacketAsked, packet_errors
from portal.traces.requests import TraceProblem

KEPT, MOST, MOST_TRACES = timedelta(days=7), 20, 50
MIB = 1 << 20


def folder_of(bundle: SupportBundle) -> Path:
    """Where the bundle lies."""
    return Path(settings.BUNDLES) / str(bundle.uuid)


def archive_of(bundle: SupportBundle) -> Path:
    """The archive as it was uploaded; gone once it was read."""
    return folder_of(bundle) / "archive"


def add_bundle(user: User, upload: UploadedFile[Any] | None) -> SupportBundle:
    """The bundle, sent to a worker on commit. Raises TraceProblem, and then nothing is kept."""
    most = settings.BUNDLE_MAX_MIB * MIB
    if upload is None or not upload.size:
        raise TraceProblem({"file": [gettext("no file was given: choose a report of sos, or what manage.py bundle wrote, as a tar, tar.gz or tar.xz")]})  # fmt: skip
    if upload.size > most:
        raise TraceProblem(
            {
                "file": [
                    gettext("%(size)s MiB were given; at most %(bundle_max_mib)s MiB are allowed")
                    % {"size": upload.size // MIB, "bundle_max_mib": settings.BUNDLE_MAX_MIB}
                ]
            }
        )
    if SupportBundle.objects.count() >= MOST:
        raise TraceProblem(
            {"file": [gettext("there are %(most)s bundles, the most that are kept: delete one first") % {"most": MOST}]}
        )
    name = Path((upload.name or "bundle").replace("\\", "/")).name[:120] or "bundle"
    bundle = SupportBundle(name=name, size_bytes=upload.size, created_by=user, expires_at=timezone.now() + KEPT)
    folder_of(bundle).mkdir(mode=0o700, parents=True)
    try:
        with archive_of(bundle).open("xb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        with transaction.atomic():
            bundle.save(force_insert=True)
            record("bundle.upload", None, user, ("bundle", str(bundle.uuid), name), after={"bytes": upload.size})
            bundle_changed(bundle)
            transaction.on_commit(lambda: enqueue_bundle(bundle.pk))
    except BaseException:
        shutil.rmtree(folder_of(bundle), ignore_errors=True)
        raise
    return bundle


@transaction.atomic
def delete_bundle(bundle: SupportBundle, user: User | None) -> None:
    """The bundle with its files and its traces goes."""
    record("bundle.delete", None, user, ("bundle", str(bundle.uuid), bundle.name))
    bundle_deleted(bundle)
    folder = folder_of(bundle)
    bundle.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def forget_bundles(now: datetime) -> None:
    """Let go what was kept long enough; called by the sweep."""
    for bundle in SupportBundle.objects.filter(expires_at__lt=now):
        delete_bundle(bundle, None)


@transaction.atomic
def ask_bundle_trace(bundle: SupportBundle, user: User, asked: PacketAsked) -> BundleTrace:
    """A packet's way in the bundle, sent to a worker on commit; the oldest ones go. Raises TraceProblem."""
    errors: dict[str, list[str]] = {}
    if bundle.state != SupportBundle.State.READY:
        errors["bridge"] = [
            gettext("the bundle is %(lower)s: nothing can be asked of it now")
            % {"lower": bundle.get_state_display().lower()}
        ]
    else:
        bridges = (one["name"] for one in bundle.facts.get("bridges", []))
        errors = packet_errors(asked, bridges, gettext("the bundle"))
    if errors:
        raise TraceProblem(errors)
    row = BundleTrace.objects.create(bundle=bundle, created_by=user, bridge=asked.bridge, flow=asked.flow.strip(), ct_next=list(asked.ct_next))  # fmt: skip
    old = list(bundle.traces.values_list("pk", flat=True)[MOST_TRACES:])
    BundleTrace.objects.filter(pk__in=old).delete()
    bundle_changed(bundle)
    transaction.on_commit(lambda: enqueue_bundle_trace(row.pk))
    return row
