"""Taking in a support bundle, asking about a packet in it, and letting it go: what page and API share."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.bundles.models import BundleTrace, SupportBundle
from portal.bundles.serialize import bundle_changed, bundle_deleted
from portal.operations.dispatch import enqueue_bundle, enqueue_bundle_trace
from portal.traces.requests import TraceProblem

KEPT, MOST, MOST_TRACES = timedelta(days=7), 20, 50
MAX_FLOW_CHARS, MAX_STATES, SHOWN_CHARS = 2000, 8, 60
MIB = 1 << 20
PROTOCOLS = ("icmp", "tcp", "udp", "sctp", "arp", "icmp6", "tcp6", "udp6", "ip", "ipv6")


@dataclass(frozen=True, slots=True)
class PacketAsked:
    """A packet in a bundle: on which bridge it comes in, as a flow in ovs-ofctl's syntax, and conntrack's states in order."""

    bridge: str
    flow: str
    ct_next: tuple[str, ...] = ()


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
        raise TraceProblem({"file": ["no file was given: choose a report of sos, or what manage.py bundle wrote, as a tar, tar.gz or tar.xz"]})  # fmt: skip
    if upload.size > most:
        raise TraceProblem(
            {"file": [f"{upload.size // MIB} MiB were given; at most {settings.BUNDLE_MAX_MIB} MiB are allowed"]}
        )
    if SupportBundle.objects.count() >= MOST:
        raise TraceProblem({"file": [f"there are {MOST} bundles, the most that are kept: delete one first"]})
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
        errors["bridge"] = [f"the bundle is {bundle.get_state_display().lower()}: nothing can be asked of it now"]
    names = [one["name"] for one in bundle.facts.get("bridges", [])]
    if not errors and asked.bridge not in names:
        errors["bridge"] = [f"bridge {asked.bridge[:SHOWN_CHARS]!r} was given; the bundle has {', '.join(names)}"]
    if not asked.flow.strip() or len(asked.flow) > MAX_FLOW_CHARS or not asked.flow.isprintable():
        errors["flow"] = [f"a flow of 1 to {MAX_FLOW_CHARS} printable characters is allowed, such as in_port=9,tcp,nw_dst=10.0.0.2,tp_dst=22"]  # fmt: skip
    if len(asked.ct_next) > MAX_STATES or any(not one.isprintable() or len(one) > SHOWN_CHARS for one in asked.ct_next):
        errors["ct_next"] = [f"at most {MAX_STATES} states are allowed, such as trk,est"]
    if errors:
        raise TraceProblem(errors)
    row = BundleTrace.objects.create(bundle=bundle, created_by=user, bridge=asked.bridge, flow=asked.flow.strip(), ct_next=list(asked.ct_next))  # fmt: skip
    old = list(bundle.traces.values_list("pk", flat=True)[MOST_TRACES:])
    BundleTrace.objects.filter(pk__in=old).delete()
    bundle_changed(bundle)
    transaction.on_commit(lambda: enqueue_bundle_trace(row.pk))
    return row


def flow_of_fields(fields: dict[str, str]) -> str:
    """The form's fields as a flow in ovs-ofctl's syntax; an empty one is left out."""
    protocol = fields.get("protocol", "")
    is_v6 = protocol.endswith("6") or protocol == "ipv6"
    source, target = ("arp_spa", "arp_tpa") if protocol == "arp" else ("ipv6_src", "ipv6_dst") if is_v6 else ("nw_src", "nw_dst")  # fmt: skip
    given: Iterable[tuple[str, str]] = (
        ("in_port", fields.get("in_port", "")), ("dl_src", fields.get("dl_src", "")), ("dl_dst", fields.get("dl_dst", "")),
        ("dl_vlan", fields.get("vlan", "")), (source, fields.get("source", "")), (target, fields.get("target", "")),
        ("tp_dst", fields.get("port_dst", "") if protocol.rstrip("6") in ("tcp", "udp", "sctp") else ""),
    )  # fmt: skip
    parts = [f"{name}={value.strip()}" for name, value in given if value.strip()]
    return ",".join([parts[0], protocol, *parts[1:]] if protocol in PROTOCOLS and parts else parts)
