"""Mirrors as people ask for them: by page and API, checked whole, audited, in the intent at once, and gone with their ends."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow, Membership, User
from portal.compute.models import VM
from portal.compute.requests import VMSpec, create_vm
from portal.networks.causes import explain_causes
from portal.networks.intent import load_snapshot
from portal.networks.mirrors import MirrorSpec, set_mirror
from portal.networks.models import Mirror, Port
from sdn.model.cookie import Cause, CauseKind
from sdn.pipeline import MAX_VNI
from tests.cast import Cast
from tests.portal.clients import client_of, made_mirror, made_vm


@pytest.fixture
def ends(cast: Cast) -> tuple[Port, Port]:
    return Port.objects.get(vm=made_vm(cast)), Port.objects.get(vm=made_vm(cast, "ids-1"))


def put(user: User, port: Port, **body: str) -> tuple[int, dict[str, object]]:
    answer = client_of(user).put(f"/api/v1/ports/{port.uuid}/mirror", body, content_type="application/json")
    return answer.status_code, answer.json()


def danas_vm(cast: Cast) -> VM:
    network = cast.search.networks.all()[0]
    return create_vm(cast.search, cast.dana, VMSpec("spy", cast.image, cast.flavor, network, "spy")).vm


def test_a_mirror_goes_from_the_page_to_the_intent_and_away_again(cast: Cast, ends: tuple[Port, Port]) -> None:
    bob, (web, ids), before = client_of(cast.bob), ends, load_snapshot().generation
    page = bob.post(reverse("mirrors"), {"watch": web.uuid, "to": ids.uuid, "what": "sends"}, follow=True)
    assert "Mirror of web-1 to ids-1: what it sends" in page.content.decode()
    snapshot = load_snapshot()
    (intent,) = snapshot.mirrors
    assert (intent.source_id, intent.target_id, intent.sends, intent.receives) == (web.pk, ids.pk, True, False)
    assert snapshot.generation > before and 0x600000 <= intent.vni <= MAX_VNI and intent.frame_bytes == 1464
    for end in ends:
        assert "Mirror of web-1 to ids-1" in bob.get(reverse("vm", args=[end.vm.uuid])).content.decode()
    bob.post(reverse("mirror_end", args=[Mirror.objects.get().uuid]))
    assert load_snapshot().mirrors == ()
    rows = AuditRow.objects.filter(object_id=str(web.vm.uuid), action__startswith="port.mirror").order_by("id")
    told = {"to": "ids-1", "what": "sends"}
    assert [(row.actor, row.action, row.before, row.after) for row in rows] == [
        ("bob", "port.mirror", None, told), ("bob", "port.mirror_end", told, None),
    ]  # fmt: skip


def test_a_watched_port_gets_another_mirror_instead_of_a_second(cast: Cast, ends: tuple[Port, Port]) -> None:
    web, ids = ends
    other = Port.objects.get(vm=made_vm(cast, "ids-2"))
    assert put(cast.bob, web, to=str(ids.uuid))[0] == 200
    first = Mirror.objects.get()
    status, told = put(cast.bob, web, to=str(other.uuid), what="receives")
    assert status == 200 and (told["what"], told["to"]["name"]) == ("receives", "ids-2")  # type: ignore[index]
    again = Mirror.objects.get()
    assert (again.uuid, again.vni, again.target) == (first.uuid, first.vni, other)
    assert client_of(cast.charlie).get("/api/v1/mirrors").json()["items"] == [told]
    assert client_of(cast.bob).delete(f"/api/v1/ports/{web.uuid}/mirror").status_code == 204
    assert client_of(cast.bob).get(f"/api/v1/ports/{web.uuid}/mirror").status_code == 404


def test_everything_that_is_wrong_is_told_at_once_with_its_field(cast: Cast, ends: tuple[Port, Port]) -> None:
    web, _ = ends
    status, told = put(cast.bob, web, to=str(web.uuid), what="everything")
    assert status == 422
    assert told["errors"] == {
        "what": ["“everything” was given; both, sends, receives are allowed"],
        "to": ["web-1 was given, which is the watched port itself: choose another one"],
    }
    page = client_of(cast.bob).post(reverse("mirrors"), {"watch": web.uuid, "to": web.uuid, "what": "all"})
    text = page.content.decode()
    assert page.status_code == 422 and "“all” was given" in text and "which is the watched port itself" in text
    assert text.count(f'value="{web.uuid}" selected') == 2, "the form keeps what was chosen"
    assert "choose one of the list" in client_of(cast.bob).post(reverse("mirrors"), {"watch": "x"}).content.decode()
    assert not Mirror.objects.exists()


def test_copies_never_go_to_another_teams_port_whoever_asks(cast: Cast, ends: tuple[Port, Port]) -> None:
    web, spy = ends[0], Port.objects.get(vm=danas_vm(cast))
    Membership.objects.create(user=cast.bob, team=cast.search, role="member")
    for source, target in ((web, spy), (spy, web)):
        status, told = put(cast.bob, source, to=str(target.uuid))
        assert status == 422 and "has no VM with such a port" in told["errors"]["to"][0]  # type: ignore[index]
    assert not Mirror.objects.exists()


def test_a_port_of_no_vm_is_not_watched_and_a_receiver_takes_so_many(cast: Cast, ends: tuple[Port, Port]) -> None:
    web, ids = ends
    for number in range(16):
        port = Port.objects.create(network=web.network, vm=web.vm, name=f"nic-{number}", mac=f"52:54:00:00:01:{number:02x}")  # fmt: skip
        set_mirror(port, MirrorSpec(ids), cast.bob)
    assert len(set(Mirror.objects.values_list("vni", flat=True))) == 16
    status, told = put(cast.bob, web, to=str(ids.uuid))
    assert status == 422 and "ids-1 watches 16 ports already" in told["errors"]["to"][0]  # type: ignore[index]
    reserved = Port.objects.create(network=web.network, kind="reserved", name="later", mac="52:54:00:00:02:01")
    status, told = put(cast.bob, reserved, to=str(ids.uuid))
    assert status == 422 and told["errors"]["watch"] == ["later is no VM's port: only those are mirrored"]  # type: ignore[index]


def test_a_mirror_is_gone_with_either_of_its_ends_and_is_said_in_words_until_then(cast: Cast) -> None:
    row = made_mirror(cast, made_vm(cast))
    cause = Cause(CauseKind.MIRROR, row.pk)
    assert explain_causes([cause])[cause].words == "Mirror of web-1 to ids-1: what it sends and receives"
    row.target.delete()
    assert load_snapshot().mirrors == () and "no longer there" in explain_causes([cause])[cause].words
