"""Images of teams: an import ends as an image or as nothing, a deletion as nothing or with the image as it was.

Files are named by the import's uuid, which the operation holds: whatever of the rows is gone, an undo finds them.
"""

from __future__ import annotations

import os
import shutil

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError

from portal.compute.models import VM, Image
from portal.images.models import ImageImport
from portal.images.requests import use_words
from portal.images.store import image_file, incoming_folder, source_file
from tasks.hypervisor.disks import copy_disk, files_of, remove_file
from tasks.hypervisor.driver import DomainState
from tasks.images.copies import drop_copies
from tasks.images.fetch import fetch
from tasks.images.inspect import GIB, check_digest, convert_to_qcow2, inspect_image
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import operation_params

LONG_S = 3600.0


def _row(context: Context) -> ImageImport:
    row = ImageImport.objects.filter(uuid=context.operation.object_uuid).first()
    if row is None:
        raise StageError(f"the import of {context.operation.object_name} is no longer there")
    return row


def bring(context: Context) -> str:
    row, target = _row(context), source_file(context.operation.object_uuid)
    if row.source == ImageImport.Source.URL and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(row.url, target, row.size_bytes, context.deadline - 5, settings.IMAGE_FETCH_ALSO)
    if not target.is_file():
        raise StageError("the uploaded file is not there: upload it again")
    size = target.stat().st_size
    if row.source == ImageImport.Source.UPLOAD and size != row.size_bytes:
        raise StageError(f"{size} bytes came; {row.size_bytes} were said: upload it again")
    ImageImport.objects.filter(pk=row.pk).update(size_bytes=size, received_bytes=size)
    return f"{size / 1024**2:.1f} MiB"


def copy(context: Context) -> str:
    """All layers of the VM's disk as one file that stands alone; the VM is off, and held so by this operation."""
    target, params = source_file(context.operation.object_uuid), operation_params(context)
    vm = VM.objects.select_related("host").filter(uuid=params["source"]).first()
    if vm is None or vm.host is None:
        raise StageError("the VM is no longer there")
    if context.hypervisors(vm.host).state(vm.domain) in (DomainState.RUNNING, DomainState.PAUSED):
        raise StageError(f"{vm.name} was started meanwhile: a disk in use can't be copied, shut it down and try again")
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_disk(files_of(vm.host.disks_dir, vm.uuid, vm.disk_name).disk, target, "", "")
    size, room = target.stat().st_size, _row(context).size_bytes
    if size > room:
        raise StageError(
            f"the disk of {vm.name} holds {size} bytes; the team has room for {room}: delete an image first"
        )
    ImageImport.objects.filter(uuid=context.operation.object_uuid).update(received_bytes=size)
    return f"of {vm.name}, {size / 1024**2:.1f} MiB"


def boot_of(context: Context) -> dict[str, object]:
    """How an image of a VM boots: as the image that the VM was made of."""
    params = operation_params(context)
    origin = Image.objects.filter(pk=params["image"]).first() if "image" in params else None
    if origin is None:
        return {}
    names = ("boot", "kernel_path", "initrd_path", "cmdline")
    return {name: getattr(origin, name) for name in names}


def drop_all(context: Context) -> None:
    uuid = context.operation.object_uuid
    if incoming_folder(uuid).exists():
        shutil.rmtree(incoming_folder(uuid))
    ImageImport.objects.filter(uuid=uuid, image=None).delete()


def check(context: Context) -> str:
    row, source = _row(context), source_file(context.operation.object_uuid)
    right = check_digest(source, row.checksum)
    facts = inspect_image(source, row.disk_format, settings.IMAGE_MAX_VIRTUAL_GIB)
    needed = -(-facts.virtual_bytes // GIB)
    if needed > row.min_disk_gib:
        ImageImport.objects.filter(pk=row.pk).update(min_disk_gib=needed)
    return f"{facts.disk_format}, {facts.virtual_bytes / GIB:.4g} GiB" + (f", {right} as given" if right else "")


def convert(context: Context) -> str:
    row, target = _row(context), image_file(context.operation.object_uuid)
    if not target.is_file():
        source = source_file(row.uuid)
        facts = inspect_image(source, row.disk_format, settings.IMAGE_MAX_VIRTUAL_GIB)
        made = convert_to_qcow2(source, facts, settings.IMAGE_MAX_GIB * GIB)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(made, 0, 0)
        made.chmod(0o644)
        os.replace(made, target)
    size = target.stat().st_size
    ImageImport.objects.filter(pk=row.pk).update(size_bytes=size, received_bytes=size)
    return f"{size / 1024**2:.1f} MiB"


def unconvert(context: Context) -> None:
    remove_file(image_file(context.operation.object_uuid))


def publish(context: Context) -> str:
    row = _row(context)
    with transaction.atomic():
        image, _ = Image.objects.update_or_create(
            slug=row.slug,
            defaults={
                "name": row.name, "note": row.note, "team": row.team, "disk_path": str(image_file(row.uuid)),
                "disk_format": "qcow2", "login_user": row.login_user, "min_ram_mib": row.min_ram_mib,
                "min_disk_gib": row.min_disk_gib, "os_family": row.os_family, "size_bytes": row.size_bytes, **boot_of(context),
            },
        )  # fmt: skip
        ImageImport.objects.filter(pk=row.pk).update(image=image)
    shutil.rmtree(incoming_folder(row.uuid), ignore_errors=True)
    return f"as {row.slug}"


def unpublish(context: Context) -> None:
    image = Image.objects.filter(came_by__uuid=context.operation.object_uuid).first()
    if image is not None:
        _delete_row(image)


def _delete_row(image: Image) -> None:
    words = use_words(image)
    try:
        if not words:
            image.delete()
    except ProtectedError:
        words = "is what a VM's disk lies on"
    if words:
        raise StageError(f"{image.name} {words}")


def remove_copies(context: Context) -> str:
    """Its copies on hosts are gone; a VM that needs one keeps the image, and is made before this or finds no image."""
    image = Image.objects.filter(came_by__uuid=context.operation.object_uuid).first()
    if image is None:
        return ""
    if words := use_words(image):
        raise StageError(f"{image.name} {words}")
    return f"{drop_copies(image)} on hosts"


def remove_row(context: Context) -> None:
    unpublish(context)


def finish(context: Context) -> None:
    """A deletion that got past the row goes on to the end: what is left is a file that no row names."""
    if not ImageImport.objects.filter(uuid=context.operation.object_uuid).exists():
        unconvert(context)


SAGAS: dict[str, Saga] = {
    "image.import": (
        Stage("bring", bring, drop_all, deadline_s=LONG_S),
        Stage("check", check, deadline_s=LONG_S),
        Stage("convert", convert, unconvert, deadline_s=LONG_S),
        Stage("publish", publish, unpublish),
    ),
    "image.from_vm": (
        Stage("copy", copy, drop_all, deadline_s=LONG_S),
        Stage("check", check, deadline_s=LONG_S),
        Stage("convert", convert, unconvert, deadline_s=LONG_S),
        Stage("publish", publish, unpublish),
    ),
    "image.delete": (
        Stage("copies", remove_copies),
        Stage("row", remove_row, finish),
        Stage("file", unconvert, unconvert),
    ),
}
