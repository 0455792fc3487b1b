"""A team's image is shared with named teams by its owners and with every team by operators; what VMs lie on is not deleted,
and nobody learns which VMs of others those are."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.changes import clone_vm, rebuild_vm
from portal.compute.models import VM, Image
from portal.compute.os_families import guessed
from portal.compute.requests import VMProblem, VMSpec, create_vm
from portal.networks.models import Network
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_image, made_vm


@pytest.fixture
def image(cast: Cast) -> Image:
    found = made_image(cast, "Golden Debian").image
    assert found is not None
    return found


def shares(cast: Cast, image: Image, *teams: str, by: str = "alice") -> Any:
    client = client_of(getattr(cast, by))
    return client.put(f"/api/v1/images/{image.slug}/shares", {"teams": teams}, content_type="application/json")


def listed(cast: Cast, by: str) -> list[str]:
    return [row["name"] for row in client_of(getattr(cast, by)).get("/api/v1/images").json()]


def vm_of_search(cast: Cast, image: Image, name: str = "s-1") -> VM:
    network = Network.objects.filter(team=cast.search).first()
    assert network is not None
    return create_vm(cast.search, cast.dana, VMSpec(name, image, cast.flavor, network, name)).vm


def test_a_shared_image_is_booted_by_the_team_that_it_is_shared_with_until_it_is_taken_back(
    cast: Cast, image: Image
) -> None:
    assert image.name not in listed(cast, "dana")
    assert client_of(cast.dana).get(reverse("image", args=[image.slug])).status_code == 404
    answer = shares(cast, image, "search")
    assert answer.status_code == 200 and answer.json()["shared_with"] == ["search"]
    assert image.name in listed(cast, "dana")
    catalogue = client_of(cast.dana).get(reverse("images")).content.decode()
    assert "shared by Payments" in catalogue and f"Delete {image.name}" not in catalogue
    assert "shared by Payments" in client_of(cast.dana).get(reverse("vm_create")).content.decode()
    vm = vm_of_search(cast, image)
    assert shares(cast, image).json()["shared_with"] == []
    assert image.name not in listed(cast, "dana")
    VM.objects.update(state="stopped", host=None)
    with pytest.raises(VMProblem) as refused:
        vm_of_search(cast, image, "s-2")
    assert refused.value.errors["image"] == ["no image of that name: choose one of the list"]
    with pytest.raises(VMProblem):
        rebuild_vm(vm, cast.dana, image)
    rows = AuditRow.objects.filter(action="image.share").order_by("id")
    assert [(row.before, row.after) for row in rows] == [
        ({"teams": ""}, {"teams": "search"}),
        ({"teams": "search"}, {"teams": ""}),
    ]


def test_what_others_vms_lie_on_is_not_deleted_and_their_names_are_not_told(cast: Cast, image: Image) -> None:
    shares(cast, image, "search")
    vm_of_search(cast, image, "secret-plan")
    own = made_vm(cast, "web-1")
    VM.objects.filter(pk=own.pk).update(image=image)
    shares(cast, image)
    refused = client_of(cast.alice).delete(f"/api/v1/images/{image.slug}")
    words = refused.json()["errors"]["image"][0]
    assert refused.status_code == 422 and "web-1 and of 1 VM of teams that it is or was shared with" in words
    page = client_of(cast.alice).get(reverse("image", args=[image.slug])).content.decode()
    assert "secret-plan" not in words + page and "1 VM of teams" in page
    assert client_of(cast.dana).delete(f"/api/v1/images/{image.slug}").status_code == 404


def test_a_team_that_does_not_exist_or_has_it_already_is_named(cast: Cast, image: Image) -> None:
    answer = shares(cast, image, "nobody", "payments", "a\0b")
    words = " ".join(answer.json()["errors"]["teams"])
    assert answer.status_code == 422 and "“nobody” was given" in words and "Payments has it already" in words
    assert "“a?b”" in words and not image.shared_with.exists()
    page = client_of(cast.alice).post(reverse("image_share", args=[image.slug]), {"teams": "nobody"})
    assert page.status_code == 422 and "there is no team of that name" in page.content.decode()


def test_an_operator_offers_an_image_to_every_team_and_takes_it_back(cast: Cast, image: Image) -> None:
    url = reverse("image_publish", args=[image.slug])
    assert client_of(cast.alice).post(url, {"public": "on"}).status_code == 403
    client_of(cast.olga).post(url, {"public": "on"})
    assert image.name in listed(cast, "dana")
    assert "with everybody" in client_of(cast.dana).get(reverse("images")).content.decode()
    client_of(cast.olga).post(url, {"public": "off"})
    assert image.name not in listed(cast, "dana")
    assert AuditRow.objects.filter(action="image.publish", actor="olga").count() == 2
    everybodys = client_of(cast.olga).put(
        "/api/v1/images/tiny/public", {"is_public": True}, content_type="application/json"
    )
    assert "everybody's already" in everybodys.json()["errors"]["image"][0]


def test_a_member_shares_nothing_and_is_told_who_may(cast: Cast, image: Image) -> None:
    assert shares(cast, image, "search", by="bob").status_code == 403
    page = client_of(cast.bob).get(reverse("image", args=[image.slug])).content.decode()
    assert "this needs the role owner" in page and image.name in page


def test_a_clone_of_a_vm_outlives_the_share_as_its_vm_does(cast: Cast, image: Image) -> None:
    shares(cast, image, "search")
    vm = vm_of_search(cast, image)
    VM.objects.filter(pk=vm.pk).update(state="stopped")
    vm.refresh_from_db()
    shares(cast, image)

    Operation.objects.update(state="done")
    VM.objects.filter(pk=vm.pk).update(host=made_host())
    assert clone_vm(vm, cast.dana, "s-2").vm.image_id == image.pk


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("My Debian 12", "debian"), ("Ubuntu Noble", "ubuntu"), ("AlmaLinux 9", "redhat"), ("Windows Server", "windows"),
        ("FreeBSD 14", "bsd"), ("some linux", "linux"), ("appliance", ""),
    ],
)  # fmt: skip
def test_an_images_family_is_told_by_its_name(cast: Cast, name: str, family: str) -> None:
    assert guessed(name) == family


def test_the_catalogue_tells_what_an_image_needs_and_shows_its_family(cast: Cast, image: Image) -> None:
    Image.objects.filter(pk=image.pk).update(os_family="debian", size_bytes=300 * 1024**2, min_ram_mib=2048)
    page = client_of(cast.alice).get(reverse("images")).content.decode()
    assert "#i-os-debian" in page and "300.0" in page and "2 GiB RAM" in page
    refused = client_of(cast.alice).post(
        "/api/v1/image-imports", {"name": "x", "size_bytes": 8, "os_family": "plan9"}, content_type="application/json"
    )
    assert "“plan9” was given" in refused.json()["errors"]["os_family"][0]
