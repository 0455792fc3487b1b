"""An image's copy on a host: pulled when a disk is first made on it there, from the store or from another host that has it.

A file is named by its image and by the store's version of it, so that an image that changed is another file and disks keep
what they lie on. It is complete or not there. On the store's own file system it is a link, which takes no room. Copies that no
VM needs go when room is short, longest unused first; what a disk lies on never does (`portal.images.copies.need_words`).
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from portal.accounts.audit import record
from portal.compute.models import Image
from portal.hosts.models import Host
from portal.images.copies import need_words
from portal.images.models import ImageCopy
from tasks.hypervisor.disks import DiskProblem

log = logging.getLogger("hopsight.images")
STORE, FOLDER = "the store", "images"
CHUNK_BYTES, TELL_EVERY_S, TURN_EVERY_S = 4 * 1024**2, 0.5, 0.1
FRESH = timedelta(minutes=1)  # a use is written down so often
GIB = 1024**3
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Base:
    """The file that a disk is made on; no path where the image has none. `words` tell of a pull, if there was one."""

    path: str
    words: str = ""


def ensure_copy(image: Image, host: Host, tell: Tell = lambda _words: None, like: str = "") -> Base:
    """The image's copy on the host, pulled if it is not there; `like` is a disk's own base, which it is to be the same as."""
    if not image.disk_path:
        return Base("")
    source = Path(like or image.disk_path)
    target = folder_of(host) / _name_of(image, source)
    if _use(image, host, target):
        return Base(str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    with _turn(target.parent, tell):
        if _use(image, host, target):
            return Base(str(target))
        return Base(str(target), _pull(image, host, target, tell, source))


def folder_of(host: Host) -> Path:
    """Where a host keeps its copies."""
    return Path(host.disks_dir) / FOLDER


def _name_of(image: Image, source: Path) -> str:
    """What a copy of that file is called: as the copy that it is itself, or by the store's version."""
    if source.parent.name == FOLDER and source.name.startswith(f"{image.slug}-"):
        return source.name
    if source.is_file():
        stat = source.stat()
        version = hashlib.sha256(f"{source}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:10]
        return f"{image.slug}-{version}.{image.disk_format}"
    newest = ImageCopy.objects.filter(image=image).exclude(path="").order_by("-pulled_at").first()
    if newest is None:
        raise DiskProblem(f"the image's disk {source} is not there, nor is a copy on a host: import it again")
    return Path(newest.path).name


def _use(image: Image, host: Host, target: Path) -> bool:
    """Whether the copy is there; that it is used is then written down, so that nobody evicts it."""
    row = ImageCopy.objects.filter(host=host, image=image, path=str(target)).first()
    now = timezone.now()
    fresh = row is not None and row.state == ImageCopy.State.THERE and row.used_at and now - row.used_at < FRESH
    if fresh and target.is_file():
        return True
    with transaction.atomic():
        rows = ImageCopy.objects.select_for_update().filter(path=str(target), image=image)
        found = next((one for one in rows if one.host_id == host.pk), None)
        if not target.is_file():
            return False
        if found is None:  # another host has the same folder, or a worker was lost after its pull
            _keep(image, host, target, came_from="")
        ImageCopy.objects.filter(path=str(target), image=image).update(
            state=ImageCopy.State.THERE, used_at=now, words=""
        )
    return True


def _keep(image: Image, host: Host, target: Path, *, came_from: str, sha256: str = "") -> None:
    now = timezone.now()
    told = {
        "size_bytes": target.stat().st_size,
        "came_from": came_from,
        "sha256": sha256,
        "pulled_at": now,
        "used_at": now,
    }
    ImageCopy.objects.update_or_create(
        image=image, host=host, path=str(target), defaults={**told, "state": ImageCopy.State.THERE, "words": ""}
    )
    ImageCopy.objects.filter(image=image, host=host, state=ImageCopy.State.WANTED).delete()


@contextmanager
def _turn(folder: Path, tell: Tell) -> Iterator[None]:
    """One pull at a time into a folder: fifty VMs of one image make one copy."""
    with (folder / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tell("waits for another pull to this host")
                time.sleep(TURN_EVERY_S)
        yield


def _pull(image: Image, host: Host, target: Path, tell: Tell, source: Path) -> str:
    began, scratch = time.monotonic(), target.with_name(f"{target.name}.new")
    problems: list[str] = []
    for came_from, path, digest in _sources(image, host, target, source):
        try:
            sha256 = _bring(path, scratch, host, lambda words, where=came_from: tell(f"from {where}: {words}"))  # type: ignore[misc]
            if digest and sha256 and digest != sha256:
                raise DiskProblem("its bytes are not those that were pulled there once")
            os.replace(scratch, target)
        except (DiskProblem, OSError) as problem:
            problems.append(f"from {came_from}: {problem}")
            continue
        finally:
            scratch.unlink(missing_ok=True)
        with transaction.atomic():
            _keep(image, host, target, came_from=came_from, sha256=sha256)
        how = (
            f"{target.stat().st_size / 1024**2:.1f} MiB in {time.monotonic() - began:.1f} s" if sha256 else "as a link"
        )
        return f"{image.name} pulled from {came_from}, {how}"
    raise DiskProblem(
        f"{image.name} could not be pulled to {host}: " + ("; ".join(problems) or "nobody has it any more")
    )


def _sources(image: Image, host: Host, target: Path, source: Path) -> list[tuple[str, Path, str]]:
    """(where, file, digest) of every place that has these very bytes: those that can be linked first."""
    known = ImageCopy.objects.filter(image=image, state=ImageCopy.State.THERE, path__endswith=f"/{target.name}")
    copies = [(row.host.name, Path(row.path), row.sha256) for row in known.exclude(host=host).select_related("host")]
    store = Path(image.disk_path)
    named = [(STORE, path, "") for path in dict.fromkeys((store, source)) if path.parent.name != FOLDER]
    of_store = [one for one in named if one[1].is_file() and _name_of(image, one[1]) == target.name]
    there = [*of_store, *(one for one in copies if one[1].is_file())]
    device = target.parent.stat().st_dev
    return sorted(there, key=lambda one: one[1].stat().st_dev != device)


def _bring(source: Path, scratch: Path, host: Host, tell: Tell) -> str:
    """The file, and the SHA-256 of what was copied; none for a link."""
    scratch.unlink(missing_ok=True)
    with suppress(OSError):  # another file system, or one without links
        os.link(source, scratch)
        return ""
    size = source.stat().st_size
    make_room(host, size)
    digest, done, told_at = hashlib.sha256(), 0, time.monotonic()
    with source.open("rb") as reader, scratch.open("wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            writer.seek(done) if chunk.count(0) == len(chunk) else writer.write(chunk)
            done += len(chunk)
            writer.seek(done)
            if time.monotonic() - told_at > TELL_EVERY_S:
                told_at = time.monotonic()
                tell(f"{100 * done // max(1, size)} % of {size / 1024**2:.0f} MiB")
        writer.truncate(done)
        writer.flush()
        os.fsync(writer.fileno())
    scratch.chmod(0o644)
    if done != size:
        raise DiskProblem(f"{done} bytes came of {size}")
    return digest.hexdigest()


def make_room(host: Host, needed_bytes: int) -> None:
    """Evict copies that no VM needs until so much and the reserve are free. Raises DiskProblem when it does not fit at all."""
    reserve = int(settings.IMAGE_HOST_FREE_GIB) * GIB
    unused = ImageCopy.objects.filter(host=host, state=ImageCopy.State.THERE).order_by("used_at", "id")
    for row in unused.select_related("image__team", "host"):
        if _free_bytes(host) >= needed_bytes + reserve:
            return
        if Path(row.path).is_file() and os.stat(row.path).st_nlink == 1 and evict(row):
            log.info("image evicted host=%s image=%s why=room", host.name, row.image.slug)
            what = ("image", row.image.slug, row.image.name)
            record("image.evict", row.image.team, None, what, before={"host": host.name, "why": "room was short"})
    if needed_bytes > (free := _free_bytes(host)):
        raise DiskProblem(f"{host} has {free // 1024**2} MiB left for disks; {needed_bytes // 1024**2} MiB are needed")


def _free_bytes(host: Host) -> int:
    room = os.statvfs(host.disks_dir)
    return room.f_bavail * room.f_frsize


def evict(row: ImageCopy) -> bool:
    """Whether the copy's file and rows are gone; not while anything needs it."""
    with transaction.atomic():
        fresh = list(ImageCopy.objects.select_for_update(of=("self",)).select_related("host").filter(path=row.path))
        if words := next(filter(None, map(need_words, fresh)), ""):
            ImageCopy.objects.filter(pk=row.pk).update(state=ImageCopy.State.THERE, words=f"it stays: {words}"[:300])
            return False
        Path(row.path).unlink(missing_ok=True)
        ImageCopy.objects.filter(path=row.path).delete()
        return True


def drop_copies(image: Image) -> int:
    """Remove every copy of an image that is deleted; how many there were."""
    rows = list(ImageCopy.objects.filter(image=image).exclude(path=""))
    for row in rows:
        Path(row.path).unlink(missing_ok=True)
    ImageCopy.objects.filter(image=image).delete()
    return len(rows)


def tidy() -> None:
    """Pull and evict what rows ask for, forget copies whose files are gone, keep the reserve free on every host."""
    for row in ImageCopy.objects.exclude(state=ImageCopy.State.THERE).select_related("image__team", "host"):
        try:
            if row.state == ImageCopy.State.LEAVING:
                evict(row)
            else:
                ensure_copy(row.image, row.host)
        except (DiskProblem, OSError) as problem:
            ImageCopy.objects.filter(pk=row.pk).update(words=str(problem)[:300])
    for row in ImageCopy.objects.filter(state=ImageCopy.State.THERE).select_related("host"):
        if Path(row.path).parent.is_dir() and not Path(row.path).exists():
            row.delete()
    for host in Host.objects.filter(image_copies__state=ImageCopy.State.THERE).distinct():
        with suppress(OSError, DiskProblem):
            make_room(host, 0)
