"""An image's copy on a host: pulled once, from the store or another host; whole or not there; evicted only when no VM needs it.

Two hosts whose folders lie on different file systems, so that one links and the other copies; the files are real disks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.compute.models import VM, Image
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.images.copies import GRACE, evict_copy, need_words, want_copy
from portal.images.models import ImageCopy
from portal.operations.models import OperationState
from tasks.hypervisor.disks import DiskProblem, backing_of, files_of
from tasks.images import copies
from tasks.images.copies import ensure_copy, evict, folder_of, make_room, tidy
from tests.tasks.test_images import made_disk, qemu_img
from tests.tasks.test_sagas import run

LONG_AGO = GRACE + timedelta(minutes=1)


@pytest.fixture
def far() -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    folder = Path(tempfile.mkdtemp(prefix="hs-far-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def image(world: Any, tmp_path: Path) -> Image:
    found = Image.objects.get()
    store = made_disk(tmp_path / "store" / "tiny.qcow2")
    Image.objects.filter(pk=found.pk).update(disk_path=str(store))
    found.refresh_from_db()
    return found


@pytest.fixture
def other(world: Any, far: Path, tmp_path: Path) -> Host:
    """A second host, whose folder is on another file system than the store's."""
    assert far.stat().st_dev != tmp_path.stat().st_dev
    row = Host.objects.get(pk=world.host.pk)
    row.pk, row.uuid, row.name, row.underlay_ip = None, "22222222-2222-4222-8222-222222222222", "hv2", "192.0.2.12"
    row.disks_dir = str(far)
    row.save()
    return row


def on_disk(host: Host) -> list[str]:
    return sorted(path.name for path in folder_of(host).iterdir() if path.name != ".lock")


def aged(**columns: Any) -> None:
    ImageCopy.objects.update(used_at=timezone.now() - LONG_AGO, **columns)


def test_on_the_stores_own_file_system_it_is_a_link_and_elsewhere_a_copy_of_the_same_bytes(world, image, other) -> None:
    linked, copied = ensure_copy(image, world.host), ensure_copy(image, other)
    assert os.stat(linked.path).st_ino == os.stat(image.disk_path).st_ino and "as a link" in linked.words
    assert Path(copied.path).read_bytes() == Path(image.disk_path).read_bytes()
    assert "pulled from the store" in copied.words and on_disk(other) == on_disk(world.host)
    assert ensure_copy(image, other).words == "" and ImageCopy.objects.count() == 2
    assert ImageCopy.objects.get(host=other).size_bytes == os.stat(image.disk_path).st_size


def test_where_the_store_lost_it_another_host_gives_it_and_its_bytes_are_compared(world, image, other) -> None:
    given = ensure_copy(image, other)
    Path(image.disk_path).unlink()
    back = ensure_copy(image, world.host)
    assert "pulled from hv2" in back.words and Path(back.path).read_bytes() == Path(given.path).read_bytes()
    evicted = ImageCopy.objects.get(host=world.host)
    aged()
    assert evict(evicted)
    with Path(given.path).open("r+b") as file:
        file.write(b"rotten")
    with pytest.raises(DiskProblem, match="from hv2: its bytes are not those"):
        ensure_copy(image, world.host)
    assert on_disk(world.host) == [] and ImageCopy.objects.count() == 1
    Path(given.path).unlink()
    with pytest.raises(DiskProblem, match="nobody has it any more"):
        ensure_copy(image, world.host)


def test_an_image_that_changed_is_another_file_and_disks_keep_what_they_lie_on(world, image) -> None:
    first = ensure_copy(image, world.host)
    Path(image.disk_path).unlink()
    qemu_img("create", "-q", "-f", "qcow2", image.disk_path, "32M")
    second = ensure_copy(image, world.host)
    assert first.path != second.path and Path(first.path).is_file()
    assert ensure_copy(image, world.host, like=first.path).path == first.path


def test_a_pull_that_is_cut_leaves_no_file_and_no_row(world, image, other, monkeypatch) -> None:
    class Cut(Exception):
        pass

    def cut(_words: str) -> None:
        raise Cut

    monkeypatch.setattr(copies, "TELL_EVERY_S", -1)
    with pytest.raises(Cut):
        ensure_copy(image, other, cut)
    assert on_disk(other) == [] and not ImageCopy.objects.exists()
    assert ensure_copy(image, other).words


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_copy(world, image, other) -> None:
    told: list[str] = []

    def pull() -> None:
        told.append(ensure_copy(image, other).words)
        connection.close()

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(bool, told)) == [False, False, False, True] and ImageCopy.objects.count() == 1


def test_a_vms_disk_lies_on_its_hosts_copy_which_is_not_evicted_before_it_is_gone(world, image) -> None:
    vm = world.make_vm()
    operation = run(world, world.ask("vm.create", vm))
    assert operation.state == OperationState.DONE, operation.error
    row, disk = ImageCopy.objects.get(), files_of(world.host.disks_dir, vm.uuid).disk
    assert backing_of(disk) == row.path
    assert "Tiny pulled from the store" in operation.stages.get(name="disk").detail
    aged()
    with pytest.raises(VMProblem) as refused:
        evict_copy(row, vm.created_by)
    assert "1 VM of this host lies on it" in refused.value.errors["copy"][0]
    aged(state=ImageCopy.State.LEAVING)
    tidy()
    row.refresh_from_db()
    assert row.state == ImageCopy.State.THERE and "it stays" in row.words and Path(row.path).is_file()
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    row.refresh_from_db()
    assert need_words(row) == ""
    evict_copy(row, vm.created_by)
    tidy()
    assert not ImageCopy.objects.exists() and on_disk(world.host) == []


def test_hosts_with_one_folder_share_the_copy_and_what_needs_it(world, image, other) -> None:
    Host.objects.filter(pk=other.pk).update(disks_dir=world.host.disks_dir)
    other.refresh_from_db()
    assert ensure_copy(image, world.host).path == ensure_copy(image, other).path
    VM.objects.filter(pk=world.make_vm().pk).update(host=world.host)
    aged()
    assert not evict(ImageCopy.objects.get(host=other))
    VM.objects.update(host=None)
    assert evict(ImageCopy.objects.get(host=other)) and not ImageCopy.objects.exists()


def test_what_was_just_used_stays_for_a_disk_may_be_in_the_making(world, image) -> None:
    ensure_copy(image, world.host)
    assert "within the last ten minutes" in need_words(ImageCopy.objects.get())
    assert not evict(ImageCopy.objects.get())


def test_when_room_is_short_the_longest_unused_copies_go_and_it_is_audited(
    world, image, other, settings, monkeypatch
) -> None:
    ensure_copy(image, other)
    second = Image.objects.create(slug="second", name="Second", disk_path=image.disk_path)
    ensure_copy(second, other)
    now = timezone.now()
    for number, row in enumerate(ImageCopy.objects.order_by("id")):
        ImageCopy.objects.filter(pk=row.pk).update(used_at=now - LONG_AGO - timedelta(hours=number))
    make_room(other, 0)
    assert ImageCopy.objects.count() == 2, "there is room"
    settings.IMAGE_HOST_FREE_GIB = 0
    size = os.stat(image.disk_path).st_size
    whole = 10 * size  # as large as the host's disk is said to be: the machine's own is everybody's
    monkeypatch.setattr(
        copies, "_free_bytes", lambda host: whole - sum(one.stat().st_size for one in folder_of(host).glob("*.qcow2"))
    )
    make_room(other, whole - 2 * size)
    assert ImageCopy.objects.count() == 2, "it fits"
    make_room(other, whole - 2 * size + 1)
    assert [row.image.slug for row in ImageCopy.objects.all()] == ["tiny"], (
        "the longest unused one went, and it was enough"
    )
    assert AuditRow.objects.get(action="image.evict").object_name == "Second"
    with pytest.raises(DiskProblem, match="MiB left for disks"):
        make_room(other, 2**60)
    assert not ImageCopy.objects.exists()


def test_an_operators_wish_is_fulfilled_and_one_that_cannot_be_says_why(world, image, other) -> None:
    want_copy(image, other, None)
    assert ImageCopy.objects.get().state == ImageCopy.State.WANTED
    tidy()
    row = ImageCopy.objects.get()
    assert (row.state, on_disk(other)) == (ImageCopy.State.THERE, [Path(row.path).name])
    Path(row.path).unlink()
    tidy()
    assert not ImageCopy.objects.exists(), "a copy whose file is gone is forgotten"
    Path(image.disk_path).unlink()
    want_copy(image, other, None)
    tidy()
    assert "import it again" in ImageCopy.objects.get().words
