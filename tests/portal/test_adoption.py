"""Foreign domains as operators see them: on the host's page, the plan before anything is asked, adopting, letting go."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.hosts.models import ForeignDomain
from portal.networks.models import Port
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_foreign, made_host

MAC = "52:54:00:aa:00:01"
ASKED = {"team": "payments", "name": "legacy-db", f"network-{MAC}": "payments-net", f"address-{MAC}": "10.20.0.77"}


@pytest.fixture
def domain(cast: Cast) -> ForeignDomain:
    return made_foreign(made_host())


def url_of(domain: ForeignDomain) -> str:
    return reverse("foreign_domain", args=[domain.host.name, domain.uuid])


def adopted(cast: Cast, domain: ForeignDomain) -> VM:
    client_of(cast.olga).post(url_of(domain), ASKED)
    Operation.objects.update(state="done")
    return VM.objects.get(uuid=domain.uuid)


def test_the_hosts_page_lists_it_and_leads_to_the_plan(cast: Cast, domain: ForeignDomain) -> None:
    page = client_of(cast.olga).get("/hosts/hv1/").content.decode()
    assert "legacy-db" in page and url_of(domain) in page


def test_the_plan_tells_both_lists_and_asks_nothing_of_anybody(cast: Cast, domain: ForeignDomain) -> None:
    bare = client_of(cast.olga).get(url_of(domain)).content.decode()
    assert "What changes" not in bare and "choose the team first" in bare
    page = client_of(cast.olga).get(url_of(domain), ASKED).content.decode()
    for told in ("What changes", "becomes a port of payments-net with 10.20.0.77", "vda stays at /srv/legacy.qcow2", "Adopt it so"):  # fmt: skip
        assert told in page, told
    assert not VM.objects.exists() and not Operation.objects.exists()


def test_adopting_makes_the_vm_and_an_operation_of_the_team_and_the_audit_knows(
    cast: Cast, domain: ForeignDomain
) -> None:
    answer = client_of(cast.olga).post(url_of(domain), ASKED)
    assert answer.url == "/hosts/hv1/"
    vm, made = VM.objects.get(), Operation.objects.get()
    assert (vm.uuid, vm.team, made.kind, made.team) == (domain.uuid, cast.payments, "vm.adopt", cast.payments)
    assert Port.objects.get(vm=vm).addresses.get(address="10.20.0.77")
    row = AuditRow.objects.get(action="vm.adopt")
    assert (row.actor, row.object_name, row.after["domain"]) == ("olga", "legacy-db", "legacy-db")


def test_what_is_wrong_is_told_all_at_once_and_nothing_is_made(cast: Cast, domain: ForeignDomain) -> None:
    wrong = ASKED | {"name": "Legacy DB", f"address-{MAC}": "10.9.9.9"}
    answer = client_of(cast.olga).post(url_of(domain), wrong)
    page = answer.content.decode()
    assert answer.status_code == 422 and "10.9.9.9" in page and "allowed are 1 to 63 of a-z" in page
    assert not VM.objects.exists() and not Operation.objects.exists()


def test_its_team_sees_what_stayed_foreign_and_cannot_delete_it(cast: Cast, domain: ForeignDomain) -> None:
    vm = adopted(cast, domain)
    VM.objects.update(state="running")
    page = client_of(cast.alice).get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Adopted" in page and "/srv/legacy.qcow2" in page and "virsh -c fake: domstate legacy-db" in page
    refused = client_of(cast.alice).post(reverse("vm_delete", args=[vm.uuid]))
    assert refused.status_code == 409 and "An operator can let it go" in refused.content.decode()
    for url in ("/vms/", reverse("vm_change", args=[vm.uuid]), reverse("vm_nics", args=[vm.uuid]), "/api/v1/vms"):
        assert client_of(cast.alice).get(url).status_code == 200, url
    assert "Adopted" not in client_of(cast.alice).get(reverse("vm_create")).content.decode()
    assert "hopsight-adopted" not in client_of(cast.alice).get("/api/v1/images").content.decode()


def test_letting_go_is_asked_once_more_then_an_operation(cast: Cast, domain: ForeignDomain) -> None:
    vm = adopted(cast, domain)
    url = reverse("vm_let_go", args=[vm.uuid])
    assert "Nothing is stopped" in client_of(cast.olga).get(url).content.decode()
    assert client_of(cast.alice).get(url).status_code == 403
    VM.objects.update(is_protected=True)
    assert client_of(cast.olga).post(url).status_code == 422
    VM.objects.update(is_protected=False)
    assert client_of(cast.olga).post(url).status_code == 302
    assert Operation.objects.filter(kind="vm.let_go").exists() and VM.objects.exists(), "a worker does it"


def test_the_api_plans_adopts_and_lets_go(cast: Cast, domain: ForeignDomain) -> None:
    client = client_of(cast.olga)
    (told,) = client.get("/api/v1/foreign-domains?host=hv1").json()["items"]
    assert told["name"] == "legacy-db" and told["facts"]["nics"][0]["mac"] == MAC
    asked = {"domain": told["uuid"], "team": "payments", "name": "legacy-db", "nics": [{"mac": MAC.upper(), "network": "payments-net"}]}  # fmt: skip
    plan = client.post("/api/v1/adoption-plans", asked | {"name": "-"}, "application/json").json()
    assert plan["changes"] and plan["stays"] and "name" in plan["problems"]
    made = client.post("/api/v1/adoptions", asked, "application/json")
    assert made.status_code == 202 and made.json()["operation"]["kind"] == "vm.adopt"
    again = client.post("/api/v1/adoptions", asked, "application/json")
    assert again.status_code == 422 and "already" in str(again.json())
    Operation.objects.update(state="done")
    gone = client.delete(f"/api/v1/adoptions/{told['uuid']}")
    assert gone.status_code == 202 and gone.json()["operation"]["kind"] == "vm.let_go"
    assert client.get("/api/v1/foreign-domains?host=hv1\0").status_code in (200, 422)


def test_hostile_names_are_text(cast: Cast) -> None:
    domain = made_foreign(made_host(), "<script>alert(1)</script>")
    for url in ("/hosts/hv1/", url_of(domain)):
        assert "<script>alert(1)" not in client_of(cast.olga).get(url, {"team": "payments"}).content.decode()
