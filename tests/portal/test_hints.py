"""What guests were seen to use against what IPAM gave: the laws of conflicts, and how they are kept, shown and told."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.dashboards.problems import problems_of
from portal.live.topics import snapshot_of
from portal.networks.claims import KIND_BY_NAME, Claim, Given, find_conflicts
from portal.networks.hints import KEPT, MOST_OF_PORT, Seen, agent_said, forget_old, judge, note_dhcp, note_hints
from portal.networks.models import AddressHint, AllowedAddressPair, FixedAddress, Port
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm

AT = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = st.sampled_from(
    [f"10.20.0.{last}" for last in range(1, 7)] + ["192.168.1.5", "fd00::5", "fe80::1", "0.0.0.0"]
)
CLAIMS = st.lists(
    st.builds(
        Claim, st.integers(1, 4), st.integers(1, 2), ADDRESSES, st.sampled_from(["agent", "arp", "ip"]), st.just(AT),
        st.just(True), st.just(True),
    ), max_size=8,
)  # fmt: skip
HOLDERS = st.dictionaries(st.tuples(st.integers(1, 2), ADDRESSES), st.integers(1, 4), max_size=5)
SUBNETS = {1: ("10.20.0.0/24",), 2: ("10.20.0.0/24",)}


def asked_of(claims: list[Claim], holders: dict[tuple[int, str], int]) -> list[tuple[int, str, str]]:
    found = find_conflicts(claims, Given(holders, frozenset({(1, "10.20.0.1")}), SUBNETS))
    return [(one.port, one.kind, one.address) for one in found]


@given(CLAIMS, HOLDERS, st.randoms(use_true_random=False))
def test_the_order_of_what_was_seen_does_not_matter(claims, holders, chance: random.Random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(claims)
    chance.shuffle(shuffled)
    assert asked_of(shuffled, holders) == asked_of(claims, holders)


@given(CLAIMS, HOLDERS)
def test_a_claim_is_a_conflict_unless_ipam_gave_the_port_the_address(claims, holders) -> None:  # type: ignore[no-untyped-def]
    own = {(port, address) for port, kind, address in asked_of(claims, holders) if kind != "claimed"}
    for claim in claims:
        is_usable = claim.address not in ("fe80::1", "0.0.0.0")
        if is_usable and holders.get((claim.network, claim.address)) != claim.port:
            assert (claim.port, claim.address) in own
    assert own <= {(claim.port, claim.address) for claim in claims}


@given(CLAIMS, HOLDERS)
def test_giving_the_ports_what_they_claim_ends_every_conflict_of_theirs(claims, holders) -> None:  # type: ignore[no-untyped-def]
    pairs = dict.fromkeys(range(1, 5), ("0.0.0.0/0", "::/0"))
    assert find_conflicts(claims, Given(holders, frozenset(), SUBNETS, pairs)) == []


@pytest.mark.parametrize(
    ("address", "holders", "kind"),
    [
        ("10.20.0.1", {}, "gateway"),
        ("10.20.0.3", {(1, "10.20.0.3"): 2}, "another"),
        ("10.20.0.4", {}, "not_given"),
        ("192.168.1.5", {}, "outside"),
    ],
)
def test_each_kind_has_its_name(address: str, holders: dict[tuple[int, str], int], kind: str) -> None:
    assert (1, kind, address) in asked_of([Claim(1, 1, address, "arp", AT)], holders)
    assert kind in KIND_BY_NAME


def test_two_that_use_one_address_of_nobody_are_told_of_each_other() -> None:
    claims = [Claim(port, 1, "10.20.0.5", "arp", AT) for port in (1, 2)]
    found = find_conflicts(claims, Given(subnets=SUBNETS))
    assert [(one.port, one.kind, one.others) for one in found] == [(1, "twice", (2,)), (2, "twice", (1,))]


def test_a_router_without_port_security_conflicts_only_with_what_others_have() -> None:
    router = [Claim(1, 1, one, "agent", AT, is_secured=False) for one in ("172.16.0.1", "10.20.0.3")]
    found = find_conflicts(router, Given({(1, "10.20.0.3"): 2}, subnets=SUBNETS))
    assert [(one.port, one.kind) for one in found] == [(1, "another"), (2, "claimed")]


@pytest.fixture
def ports(cast: Cast) -> tuple[Port, Port]:
    """web-1 and web-2 of Payments."""
    return tuple(made_vm(cast, name).ports.get() for name in ("web-1", "web-2"))  # type: ignore[return-value]


def address_of(port: Port) -> str:
    return next(one.address for one in port.addresses.all() if "." in one.address)


def test_a_guest_that_takes_anothers_address_is_shown_on_both_pages_told_and_over_in_time(
    cast: Cast, ports: tuple[Port, Port]
) -> None:
    thief, owner = ports
    stolen, began = address_of(owner), timezone.now()
    before = snapshot_of("team:payments")["seq"]
    note_hints([Seen(thief.pk, stolen, "arp")])
    assert judge() == 2 and judge() == 0, "a second look finds nothing new"
    client = client_of(cast.bob)
    page = client.get(f"/vms/{thief.vm.uuid}/").content.decode()
    assert f"The guest uses {stolen}, which IPAM gave to web-2. What it sends from there is dropped." in page
    assert f"it then gets {address_of(thief)}" in page and "it claims it in ARP" in page
    assert f"Another guest (web-1) uses {stolen}" in client.get(f"/vms/{owner.vm.uuid}/").content.decode()
    assert client.get("/vms/").content.decode().count("#addresses") == 2
    assert "#addresses" in client.get(f"/networks/{cast.network.uuid}/").content.decode()
    told = snapshot_of("team:payments")
    assert told["seq"] == before + 2
    assert told["state"][f"vm:{thief.vm.uuid}"]["ports"][0]["conflicts"] == [stolen]
    listed = client.get("/api/v1/address-conflicts").json()["items"]
    assert [(one["name"], one["conflicts"][0]["kind"]) for one in listed] == [
        ("web-1", "another"),
        ("web-2", "claimed"),
    ]
    hints = client.get(f"/api/v1/ports/{thief.uuid}/hints").json()
    assert [(one["address"], one["source"]) for one in hints["hints"]] == [(stolen, "arp")]
    assert client_of(cast.dana).get(f"/api/v1/ports/{thief.uuid}/hints").status_code == 404
    wrong = [one for one in problems_of(cast.payments) if one.key.startswith("address:")]
    assert [one.is_bad for one in wrong] == [True, True] and stolen in wrong[0].detail
    assert forget_old(began + KEPT / 2) == 0 and forget_old(timezone.now() + 2 * KEPT) == 1
    assert judge() == 2 and not Port.objects.exclude(conflicts=[]).exists()


def test_another_teams_port_has_no_name(cast: Cast, ports: tuple[Port, Port]) -> None:
    thief, owner = ports
    stolen = address_of(owner)
    type(owner.vm).objects.filter(pk=owner.vm.pk).update(team=cast.search)
    note_hints([Seen(thief.pk, stolen, "ip")])
    judge()
    page = client_of(cast.bob).get(f"/vms/{thief.vm.uuid}/").content.decode()
    assert "which IPAM gave to a port of another team" in page
    assert "web-2" not in str(Port.objects.get(pk=thief.pk).conflicts)


def test_a_pair_or_a_new_address_ends_the_conflict(cast: Cast, ports: tuple[Port, Port]) -> None:
    port, _ = ports
    subnet = cast.network.subnets.get(cidr__contains=".")
    free = subnet.pool_end
    note_hints([Seen(port.pk, free, "arp")])
    judge()
    assert [row["kind"] for row in Port.objects.get(pk=port.pk).conflicts] == ["not_given"]
    pair = AllowedAddressPair.objects.create(port=port, cidr=f"{free}/32")
    assert judge() == 1
    pair.delete()
    assert judge() == 1
    FixedAddress.objects.create(port=port, subnet=subnet, address=free)
    assert judge() == 1 and Port.objects.get(pk=port.pk).conflicts == []


def test_an_agent_is_taken_at_its_latest_word_and_one_set_by_hand_is_noted_but_no_problem(
    cast: Cast, ports: tuple[Port, Port]
) -> None:
    port, _ = ports
    own, now = address_of(port), timezone.now()
    agent_said({port.pk: frozenset({own, "10.99.0.1"})}, now)
    agent_said({port.pk: frozenset({own})}, now + timedelta(seconds=15))
    assert [row.address for row in AddressHint.objects.filter(port=port)] == [own]
    assert judge(now + timedelta(minutes=1)) == 0, "it may ask DHCP yet"
    assert judge(now + timedelta(minutes=3)) == 1
    page = client_of(cast.bob).get(f"/vms/{port.vm.uuid}/").content.decode()
    assert "never asked DHCP" in page and f"The guest uses {own}, which is right" in page
    assert not [one for one in problems_of(cast.payments) if one.key.startswith("address:")]
    note_dhcp([port.pk])
    assert judge(now + timedelta(minutes=3)) == 1, "it asked after all"


def test_a_guest_that_claims_everything_keeps_few_rows(ports: tuple[Port, Port]) -> None:
    port, other = ports
    now = timezone.now()
    note_hints([Seen(other.pk, "10.1.1.1", "arp")], now)
    for turn in range(3):
        seen = [Seen(port.pk, f"10.9.{turn}.{last}", "ip") for last in range(100)]
        note_hints(seen, now + timedelta(seconds=turn))
    assert AddressHint.objects.filter(port=port).count() == MOST_OF_PORT
    assert AddressHint.objects.filter(port=port, address__startswith="10.9.2.").count() == MOST_OF_PORT
    assert AddressHint.objects.filter(port=other).count() == 1
    note_hints([Seen(port.pk + 1000, "10.1.1.1", "arp")], now)  # its port is gone
