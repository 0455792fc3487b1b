"""Pictures of guests' screens: who may have them, how often a host is asked, and what is made of what a host gives."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from portal.accounts.tokens import TokenSpec, make_scoped
from portal.compute.models import VM, Image, VMState
from portal.console.screens import FAILED_S, FRESH_S, KEPT_S, REST_S, keep_picture
from portal.hosts.models import Host
from portal.live.events import connection
from tasks import screens
from tasks.hypervisor.driver import HostBusy
from tasks.hypervisor.fake import FakeHypervisor
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


def shot(size: tuple[int, int], kind: str = "PPM", colour: tuple[int, int, int] = (200, 30, 90)) -> bytes:
    """What a host gives: a picture of one colour."""
    out = io.BytesIO()
    Picture.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def read(png: bytes) -> Picture.Image:
    return Picture.open(io.BytesIO(png), formats=("PNG",))


@dataclass
class Screens:
    """Two VMs with a screen that run on one host, and what was ordered of workers."""

    cast: Cast
    host: Host
    vms: list[VM]
    fake: FakeHypervisor
    ordered: list[int] = field(default_factory=list)

    def get(self, vm: VM, client: Client | None = None) -> HttpResponse:
        return (client or client_of(self.cast.charlie)).get(reverse("vm_screen", args=[vm.uuid]))  # type: ignore[return-value]

    def work(self) -> None:
        """The workers do what was ordered."""
        while self.ordered:
            screens.take_screens(self.ordered.pop(0))

    def orders_run_out(self, vm: VM) -> None:
        connection().delete(f"hopsight:screen-ordered:{vm.uuid}")

    def taken(self) -> int:
        return self.fake.calls.count("screenshot")


@pytest.fixture
def world(cast: Cast, redis_server: str, monkeypatch: Any) -> Iterator[Screens]:
    for key in connection().keys("hopsight:screen*"):
        connection().delete(key)
    host = made_host()
    made = [made_vm(cast, name) for name in ("web-1", "web-2")]
    Image.objects.update(boot=Image.Boot.DISK)
    VM.objects.update(host=host, state=VMState.RUNNING)
    vms = list(VM.objects.select_related("image", "team").order_by("name"))
    assert len(made) == len(vms)
    fake = FakeHypervisor(screens={vm.domain: shot((800, 600)) for vm in vms})
    found = Screens(cast, host, vms, fake)
    monkeypatch.setattr("portal.console.screens.enqueue_screens", lambda host_id, _s: found.ordered.append(host_id))
    monkeypatch.setattr("tasks.screens.hypervisor_of", lambda *_given: fake)
    yield found
    for key in connection().keys("hopsight:screen*"):
        connection().delete(key)


def test_who_looks_gets_nothing_at_first_and_then_a_small_png_that_nobody_keeps(world: Screens) -> None:
    web = world.vms[0]
    first = world.get(web)
    assert (first.status_code, first.content) == (204, b"") and world.ordered == [world.host.pk]
    world.work()
    answer = world.get(web)
    assert answer.status_code == 200 and answer["Content-Type"] == "image/png"
    assert answer["Cache-Control"] == "private, no-store"
    assert read(answer.content).size == (320, 240) and read(answer.content).getpixel((9, 9)) == (200, 30, 90)
    assert KEPT_S - 5 < connection().ttl(f"hopsight:screen:{web.uuid}") <= KEPT_S


def test_many_who_look_cost_a_host_one_picture(world: Screens) -> None:
    web, other = world.vms
    for _ in range(5):
        world.get(web), world.get(other)
    assert world.ordered == [world.host.pk], "one turn takes all that is wanted of a host"
    world.work()
    assert world.taken() == 2
    world.orders_run_out(web)
    assert world.get(web).status_code == 200 and not world.ordered, "it is fresh"
    connection().expire(f"hopsight:screen:{web.uuid}", KEPT_S - FRESH_S - 1)
    assert world.get(web).status_code == 200 and world.ordered == [world.host.pk], (
        "the old one, while a new one is taken"
    )


def test_another_teams_vm_is_none_and_a_token_needs_the_consoles_right(world: Screens) -> None:
    web = world.vms[0]
    keep_picture(web.uuid, b"kept")
    for person in ("dana", "olga"):
        client = client_of(getattr(world.cast, person))
        assert world.get(web, client).status_code == 404
        assert client.get(f"/api/v1/vms/{web.uuid}/screenshot").status_code in (403, 404)
    assert world.get(web, Client()).status_code == 302
    _, secret = make_scoped(world.cast.alice, TokenSpec("narrow", ("read",), 7), world.cast.alice)
    answer = Client().get(f"/api/v1/vms/{web.uuid}/screenshot", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 403 and b"kept" not in answer.content
    assert not world.ordered


def test_the_api_gives_the_same_and_says_why_there_is_none(world: Screens) -> None:
    web, client = world.vms[0], client_of(world.cast.charlie)
    address = f"/api/v1/vms/{web.uuid}/screenshot"
    assert client.get(address).status_code == 204
    world.work()
    answer = client.get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png") and read(answer.content).size == (
        320,
        240,
    )
    assert answer["Cache-Control"] == "private, no-store"
    VM.objects.update(state=VMState.STOPPED)
    refused = client.get(address)
    assert refused.status_code == 422 and "web-1 is off" in refused.content.decode()
    Image.objects.update(boot=Image.Boot.KERNEL)
    assert "web-1 has no screen" in client.get(address).content.decode()


def test_a_vm_that_is_off_or_has_no_screen_is_not_asked_and_what_was_kept_of_it_is_not_shown(world: Screens) -> None:
    web = world.vms[0]
    keep_picture(web.uuid, b"kept")
    VM.objects.update(state=VMState.STOPPED)
    assert world.get(web).status_code == 204
    VM.objects.update(state=VMState.RUNNING)
    Image.objects.update(boot=Image.Boot.KERNEL)
    assert world.get(web).status_code == 204 and not world.ordered
    assert "data-screen" not in client_of(world.cast.bob).get(reverse("vm_list")).content.decode()


def test_the_list_and_the_vms_page_have_a_place_for_it(world: Screens) -> None:
    client, address = client_of(world.cast.charlie), reverse("vm_screen", args=[world.vms[0].uuid])
    for page in (reverse("vm_list"), reverse("vm", args=[world.vms[0].uuid])):
        told = client.get(page).content.decode()
        assert f'data-screen="{address}" data-alt="Screen of web-1"' in told


def test_a_host_that_hangs_is_left_alone_for_a_while(world: Screens, monkeypatch: Any) -> None:
    web, other = world.vms

    def hang(*_given: object) -> bytes:
        world.fake.enter("screenshot")
        raise HostBusy("hv1 is busy")

    monkeypatch.setattr(world.fake, "screenshot", hang)
    world.get(web), world.get(other)
    world.work()
    assert world.taken() == 1, "the next one would only wait as long"
    world.orders_run_out(other)
    assert world.get(other).status_code == 204 and not world.ordered
    assert connection().ttl(f"hopsight:screens-turn:{world.host.pk}") > REST_S - 10


def test_a_guest_whose_screen_is_not_to_be_had_holds_up_no_other(world: Screens) -> None:
    web, other = world.vms
    world.fake.screens[web.domain] = b"P6 not a picture"
    del world.fake.screens[other.domain]
    world.get(web), world.get(other)
    world.work()
    assert world.taken() == 2
    for vm in world.vms:
        assert world.get(vm).status_code == 204 and not world.ordered
        assert connection().ttl(f"hopsight:screen-ordered:{vm.uuid}") > FAILED_S - 10


def test_without_redis_there_is_no_picture_and_no_error(world: Screens, monkeypatch: Any) -> None:
    import redis

    class Away:
        def pipeline(self, **_given: object) -> Any:
            raise redis.ConnectionError("gone")

    monkeypatch.setattr("portal.console.screens.connection", Away)
    assert world.get(world.vms[0]).status_code == 204


@pytest.mark.parametrize(
    ("size", "small"), [((1280, 800), (320, 200)), ((720, 400), (320, 178)), ((64, 48), (64, 48)), ((600, 3), (320, 2))]
)
@pytest.mark.parametrize("kind", ["PPM", "PNG"])
def test_a_picture_is_made_small_and_keeps_its_shape(size: tuple[int, int], small: tuple[int, int], kind: str) -> None:
    png = screens.small_png(shot(size, kind))
    assert png is not None and read(png).size == small and read(png).getpixel((1, 1)) == (200, 30, 90)


HOSTILE = {
    "nothing": b"",
    "words": b"<svg onload=alert(1)>",
    "another format": shot((40, 40), "GIF"),
    "cut": shot((400, 400))[:5000],
    "cut in its head": b"P6\n400",
    "a cut PNG": shot((400, 400), "PNG")[:60],
    "huge by its head": b"P6\n60000 60000\n255\n" + bytes(1000),
    "huge in one number": b"P6\n" + b"9" * 5000 + b" 1\n255\n",
    "no side": b"P6\n0 7\n255\n",
    "more pixels than a screen has": shot((4000, 2100), "PNG"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_of_a_screen_is_none(name: str) -> None:
    assert screens.small_png(HOSTILE[name]) is None


@given(st.binary(max_size=300), st.sampled_from([shot((30, 20)), shot((30, 20), "PNG"), b""]), st.integers(0, 300))
def test_bytes_of_any_kind_are_a_picture_or_none(noise: bytes, picture: bytes, at: int) -> None:
    png = screens.small_png(picture[:at] + noise + picture[at + len(noise) :])
    assert png is None or read(png).size[0] <= 320


def test_the_driver_takes_a_picture_and_no_larger_one_than_it_may() -> None:
    from tasks.hypervisor.driver import CallFailed
    from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

    driver = LibvirtHypervisor("preview", "test:///default")  # whose every domain shows libvirt's own picture
    taken = driver.screenshot("test", 1 << 20)
    assert screens.small_png(taken) is not None
    with pytest.raises(CallFailed, match="shows more than 100 bytes"):
        driver.screenshot("test", 100)
    with pytest.raises(CallFailed, match="Domain not found"):
        driver.screenshot("hs-none", 100)
