"""An image made of a VM's disk: flattened, and from there on inspected and converted as one that was uploaded."""

from __future__ import annotations

from django.db import transaction

from portal.accounts.models import User
from portal.compute.changes import locked_vm
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.images.models import ImageImport
from portal.images.requests import GIB, ImageSpec, begin_row, bytes_left, max_bytes, spec_errors
from portal.operations.models import Operation
from portal.operations.requests import Subject, begin_operation


def image_of_vm(vm: VM, user: User, name: str, note: str = "") -> Operation:
    """The operation that makes an image of the VM's disk; the VM stays off meanwhile. It may hold as much as the disk has."""
    with transaction.atomic():
        fresh = locked_vm(vm, "image")
        left = bytes_left(fresh.team)
        spec = ImageSpec(
            name, size_bytes=max(1, min(left, max_bytes(), fresh.disk_gib * GIB)), note=note,
            login_user=fresh.image.login_user, min_ram_mib=fresh.image.min_ram_mib, min_disk_gib=fresh.disk_gib,
            os_family=fresh.image.os_family,
        )  # fmt: skip
        if errors := spec_errors(spec, left):
            raise VMProblem(errors)
        row = begin_row(fresh.team, user, spec, ImageImport.Source.VM, spec.size_bytes)
        params = {"source": str(fresh.uuid), "image": fresh.image_id, "name": row.name, "note": row.note}
        subject = Subject("image", row.uuid, row.name)
        return begin_operation("image.from_vm", fresh.team, user, subject, params, {"vm": fresh.name})
