"""LUNs as volumes, as people ask for them: which is taken, what counts, what is refused and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError
from django.urls import reverse

from portal.accounts.models import Team
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.volumes.again import AGAIN
from portal.volumes.luns import free_luns
from portal.volumes.models import KINDS, Pool, Volume
from portal.volumes.reach import GIB, UNTOLD_BYTES, Lun, lun_as_json, lun_key, lun_name
from tests.cast import Cast
from tests.portal.clients import client_of, made_host
from tests.portal.test_volumes import ask, words

TARGET = "iqn.2026-01.san:shelf"


def made_pool(name: str = "san", host: Host | None = None, kind: str = "iscsi-direct", **users: str) -> Pool:
    """An offered pool with LUNs of 2, 8 and 20 GiB, the last as libvirt tells of it: one block short."""
    sizes = {"1": 8 * GIB, "2": 2 * GIB, "3": 20 * GIB - UNTOLD_BYTES}
    luns = [Lun(f"{TARGET}/{number}", size, users.get(f"lun{number}", "")) for number, size in sizes.items()]
    return Pool.objects.create(
        host=host or Host.objects.first() or made_host(), name=name, kind=kind, target=TARGET, is_active=True,
        is_offered=True, luns=[lun_as_json(one) for one in sorted(luns, key=lambda one: one.size_bytes)],
    )  # fmt: skip


@pytest.fixture
def pool(cast: Cast) -> Pool:
    return made_pool()


def make(cast: Cast, name: str, size_gib: int, pool: Pool, person: str = "bob") -> Any:
    return ask(cast, "POST", "", {"name": name, "size_gib": size_gib, "pool": str(pool)}, person)


def test_the_smallest_lun_that_is_large_enough_is_taken_and_all_of_it_counts(cast: Cast, pool: Pool) -> None:
    assert make(cast, "data", 3, pool).status_code == 202
    volume = Volume.objects.get()
    assert (volume.lun, volume.size_gib, volume.file_name) == (f"{TARGET}/1", 8, "unit:0:0:1")
    assert client_of(cast.bob).get("/api/v1/usage").json()["volume_gib"]["used"] == 8
    assert ask(cast, "GET", f"/{volume.uuid}").json()["lun"] == volume.lun
    told = client_of(cast.bob).get("/api/v1/pools").json()[0]
    assert told["free_luns_gib"] == [2, 20] and told["limits"] == list(KINDS["iscsi-direct"].limits)


def test_a_lun_is_never_two_volumes_whoever_asks_on_whatever_host_by_whatever_kind_of_pool(
    cast: Cast, pool: Pool
) -> None:
    there = made_pool(host=made_host("hv2"), kind="iscsi")
    for number, (person, where) in enumerate((("bob", pool), ("bob", there), ("bob", pool))):
        assert make(cast, f"data-{number}", 1, where, person).status_code == 202
    assert len({row.lun for row in Volume.objects.all()}) == 3
    said = words(make(cast, "more", 1, there))
    assert "hv2/san has no free LUN: every one is a volume’s or in use; choose another pool" in said
    first = Volume.objects.first()
    assert first is not None
    with pytest.raises(IntegrityError):
        Volume.objects.create(team=cast.payments, name="twice", size_gib=1, pool=pool, lun=first.lun)


def test_what_a_domain_names_is_not_free(cast: Cast) -> None:
    pool = made_pool(lun2="somebodys")
    assert [one.gib for one in free_luns(pool)] == [8, 20]
    made = make(cast, "data", 1, pool)
    assert made.json()["volume"]["size_gib"] == 8


@pytest.mark.parametrize(
    ("size_gib", "quota_gib", "said"),
    [
        (30, 100, "30 GiB were given; the free LUNs of hv1/san have 2, 8, 20 GiB: ask for no more than one has"),
        (0, 100, "0 GiB were given; 1 to 16384 are allowed"),
        (3, 5, "the smallest free LUN of hv1/san that has 3 GiB has 8 over quota: 8 GiB of volumes asked, 5 GiB of 5"),
        (8, 5, "over quota: 8 GiB of volumes asked, 5 GiB of 5 GiB left"),
    ],
)
def test_a_size_that_no_lun_has_is_refused_and_none_is_taken(
    cast: Cast, pool: Pool, size_gib: int, quota_gib: int, said: str
) -> None:
    Team.objects.filter(pk=cast.payments.pk).update(max_volume_gib=quota_gib)
    assert said in words(make(cast, "data", size_gib, pool))
    assert not Volume.objects.exists() and len(free_luns(pool)) == 3


def test_a_pool_that_is_not_active_or_not_offered_gives_none(cast: Cast, pool: Pool) -> None:
    Pool.objects.update(is_active=False)
    assert "no pool “hv1/san” is offered: choose one of /pools" in words(make(cast, "data", 1, pool))
    posted = client_of(cast.bob).post(reverse("volumes"), {"name": "data", "size_gib": "1", "pool": str(pool)})
    assert "no such pool is offered: choose one of the list" in posted.content.decode()
    assert ", not active" in client_of(cast.olga).get(reverse("pools")).content.decode()


@pytest.mark.parametrize("kind", ["iscsi", "iscsi-direct"])
def test_a_lun_does_not_grow_and_the_page_says_what_to_do(cast: Cast, pool: Pool, kind: str) -> None:
    Pool.objects.update(kind=kind)
    volume = of_a_lun(cast, pool)
    said = words(ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 9}))
    assert "a LUN has the size that its target gave it: clone it into a larger one" in said
    page = client_of(cast.bob).get(reverse("volume", args=[volume.uuid])).content.decode()
    assert "clone it into a larger one" in page and f"{TARGET}/1" in page
    assert ask(cast, "DELETE", f"/{volume.uuid}").status_code == 202


def of_a_lun(cast: Cast, pool: Pool, lun: int = 1, size_gib: int = 8) -> Volume:
    columns = {"lun": f"{TARGET}/{lun}", "path": "/dev/x", "state": "available", "name": "data"}
    return Volume.objects.create(team=cast.payments, size_gib=size_gib, pool=pool, **columns)


def clone(cast: Cast, volume: Volume, **body: Any) -> Any:
    return ask(cast, "POST", f"/{volume.uuid}/clone", {"name": "copy", **body})


def test_a_clone_takes_the_smallest_free_lun_that_its_source_fits_into_and_all_of_it_counts(
    cast: Cast, pool: Pool
) -> None:
    volume = of_a_lun(cast, pool)
    assert clone(cast, volume).status_code == 202
    copy = Volume.objects.get(name="copy")
    assert (copy.pool, copy.lun, copy.size_gib) == (pool, f"{TARGET}/3", 20)
    asked = Operation.objects.get(kind="volume.clone").params
    assert asked["size_gib"] == 8 and "pool" not in asked, "asked for again, it is not the size of the LUN of then"
    Operation.objects.update(state=OperationState.DONE)
    assert "8 GiB were given; the free LUNs of hv1/san have 2 GiB" in words(clone(cast, volume, name="third"))


def test_a_volume_is_cloned_into_another_pool_of_its_host_and_asked_for_again(cast: Cast, pool: Pool) -> None:
    folder = Pool.objects.create(host=pool.host, name="fast", kind="dir", is_active=True, is_offered=True)
    source = Volume.objects.create(
        team=cast.payments, name="small", size_gib=1, pool=folder, path="/x", state="available"
    )
    posted = {"what": "clone", "name": "copy", "pool": str(pool), "size_gib": "3"}
    page = reverse("volume", args=[source.uuid])
    assert "hv1/san · iSCSI (QEMU), free LUNs of 2, 8, 20 GiB" in client_of(cast.bob).get(page).content.decode()
    assert client_of(cast.bob).post(page, posted).status_code == 302
    copy, operation = Volume.objects.get(name="copy"), Operation.objects.get()
    assert (copy.pool, copy.lun, copy.size_gib) == (pool, f"{TARGET}/1", 8)
    copy.delete()
    Operation.objects.update(state=OperationState.FAILED)
    AGAIN["volume.clone"](operation, cast.bob)
    assert Volume.objects.get(name="copy").lun == f"{TARGET}/1"
    Operation.objects.update(state=OperationState.FAILED)
    assert clone(cast, of_a_lun(cast, pool, 2, 2), name="back", pool=str(folder)).status_code == 202
    back = Volume.objects.get(name="back")
    assert (back.pool, back.lun, back.size_gib) == (folder, "", 2)


def test_a_pool_that_a_clone_cannot_be_in_is_refused_and_nothing_is_taken(cast: Cast, pool: Pool) -> None:
    volume = of_a_lun(cast, pool)
    there = made_pool(host=made_host("hv2"))
    said = words(clone(cast, volume, pool=str(there)))
    assert "hv2/san is on another host than data, and a clone is made on the same: choose one of the list" in said
    Pool.objects.filter(pk=there.pk).update(is_offered=False)
    assert "no pool “hv2/san” is offered: choose one of /pools" in words(clone(cast, volume, pool=str(there)))
    posted = {"what": "clone", "name": "copy", "pool": "hv2/san"}
    page = client_of(cast.bob).post(reverse("volume", args=[volume.uuid]), posted)
    assert page.status_code == 422 and "no such pool is offered: choose one of the list" in page.content.decode()
    page = client_of(cast.bob).post(reverse("volume", args=[volume.uuid]), posted | {"pool": "", "size_gib": "much"})
    assert page.status_code == 422 and "much" in page.content.decode()
    assert "2 GiB were given; its source has 8" in words(clone(cast, volume, size_gib=2))
    Team.objects.filter(pk=cast.payments.pk).update(max_volume_gib=20)
    assert "has 8 GiB has 20" in words(clone(cast, volume)), "all of the LUN counts"
    assert Volume.objects.count() == 1


def test_the_page_says_what_each_kind_can_never_do_and_what_is_free(cast: Cast, pool: Pool) -> None:
    Pool.objects.create(host=pool.host, name="ceph", kind="rbd", is_active=True, is_offered=True)
    page = client_of(cast.bob).get(reverse("volumes")).content.decode()
    assert "hv1/san · iSCSI (QEMU), free LUNs of 2, 8, 20 GiB" in page
    assert "it is raw, so snapshots leave it out; libvirt cannot copy it to another host" in page
    Pool.objects.filter(name="ceph").update(name="<i>x", target="<i>y")
    assert "hv1/&lt;i&gt;x" in (page := client_of(cast.bob).get(reverse("volumes")).content.decode())
    assert "<i>x" not in page and "<i>y" not in client_of(cast.olga).get(reverse("pools")).content.decode()
    shown = client_of(cast.olga).get(reverse("pools")).content.decode()
    assert "3 of 3 LUNs" in shown and "which is cleared when it is given back" in shown


def test_names_that_are_no_luns_have_no_key() -> None:
    assert lun_key(TARGET, "unit:0:0:7") == f"{TARGET}/7" and lun_name(f"{TARGET}/7") == "unit:0:0:7"
    assert not any(lun_key(TARGET, name) for name in ("unit:0:0:", "unit:1:0:7", "x", "unit:0:0:7/8", "unit:0:0:-1"))
    assert not lun_key("", "unit:0:0:7")
