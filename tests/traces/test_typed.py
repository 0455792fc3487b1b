"""A trace asked for at a command line, the API's client and the server's own alike: every packet, its fields, its instant.

[web-1]--7--[br-int@hv1]--8--[db-1]     (outside)--[br-ex]--9--/
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from portal.accounts.tokens import make_token
from portal.api.schemas import NOT_READ, TraceIn
from portal.networks.floating_requests import give_floating
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import FlowRecord
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from sdn.reconcile import WireFlow
from sdn.transport.codec import encode_flow
from tasks.management.commands.trace import Command
from tasks.traces import run_trace
from tests.cli.terminal import ROOT, Terminal
from tests.portal.clients import made_probing
from tests.traces.conftest import Street, compiled

Ask = Callable[..., dict[str, Any]]
ASKERS = ("hopsight", "manage.py")


@pytest.fixture
def bob(live_server: Any, redis_server: str, street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:  # fmt: skip
    """Bob's terminal; whatever is asked for is answered by the street's switch before the request ends."""
    answer: Callable[[int], None] = lambda pk: run_trace(pk, later=lambda probe: None)  # noqa: E731
    monkeypatch.setattr("portal.traces.requests.order_trace", answer)
    return Terminal(tmp_path, live_server.url, make_token(street.cast.bob, "cli", True, 7)[1])


@pytest.fixture
def ask(request: pytest.FixtureRequest, street: Street, bob: Terminal) -> Ask:
    """The answer there (with --return: back) to the words typed at either command line."""

    def hopsight(*words: str) -> dict[str, Any]:
        told = bob.ok("trace", *words, "--json").json()
        return told["reply" if "--return" in words else "result"]  # type: ignore[no-any-return]

    def manage(*words: str) -> dict[str, Any]:
        out = io.StringIO()
        call_command("trace", *words, "--json", "--team", street.cast.payments.slug, stdout=out)
        return json.loads(out.getvalue())  # type: ignore[no-any-return]

    return {"hopsight": hopsight, "manage.py": manage}[request.param]


def let_in(street: Street, protocol: str = "any") -> None:
    for family in (4, 6):
        street.closed.rules.create(direction="ingress", family=family, protocol=protocol)
    street.install()


PACKETS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("db-1",), {"icmp_type": "8"}),
    (("db-1", "-6"), {"icmp_type": "128"}),
    (("db-1", "--tcp", "22"), {"tcp_flags": "syn", "tp_dst": "22"}),
    (("db-1", "--tcp", "22", "--moment", "established"), {"tcp_flags": "ack"}),
    (("db-1", "--tcp", "22", "--flags", "fin|ack", "--set", "nw_ttl=9"), {"tcp_flags": "fin|ack", "nw_ttl": "9"}),
    (("db-1", "--udp", "53", "-4"), {"tp_dst": "53"}),
    (("db-1", "--sctp", "7"), {"tp_dst": "7"}),
    (("--dhcp",), {"nw_dst": "255.255.255.255", "tp_dst": "67"}),
    (("--dns",), {"tp_dst": "53"}),
)


@pytest.mark.parametrize("ask", ASKERS, indirect=True)
def test_every_packet_is_asked_for_by_its_own_words(ask: Ask, street: Street) -> None:
    let_in(street)
    for words, fields in PACKETS:
        packet = ask("web-1", *words)["packet"]
        assert {name: packet.get(name) for name in fields} == fields, (words, packet)
    for word, wire in (("--arp", "arp"), ("--nd", "icmp6")):
        assert wire in json.dumps(ask("web-1", "db-1", word)["packet"]), word


@pytest.mark.parametrize("ask", ASKERS, indirect=True)
def test_the_family_that_was_asked_for_is_the_packets(ask: Ask, street: Street) -> None:
    """By the family's option, and by the address alone: a VM that has both is reached by what was typed."""
    let_in(street)
    six = next(row.address for row in street.db.addresses.all() if ":" in row.address)
    for words in (("db-1", "-6"), (six,)):
        assert ask("web-1", *words, "--tcp", "22")["packet"]["ipv6_dst"] == six
        assert ask("web-1", *words, "--tcp", "22", "--return")["packet"]["ipv6_src"] == six
    assert "nw_dst" in ask("web-1", "db-1", "--tcp", "22")["packet"]


@pytest.mark.parametrize("ask", ASKERS, indirect=True)
def test_the_way_back_is_shown_alone(ask: Ask, street: Street) -> None:
    let_in(street)
    there, back = (ask("web-1", "db-1", "--tcp", "22", *more) for more in ((), ("--return",)))
    assert there["direction"] == "forward" and back["direction"] == "return"
    assert (back["packet"]["nw_src"], back["packet"]["tp_src"]) == (there["packet"]["nw_dst"], "22")


@pytest.mark.parametrize("ask", ASKERS, indirect=True)
def test_it_comes_from_outside_and_from_a_router(ask: Ask, street: Street) -> None:
    four, six = (give_floating(street.cast.payments, street.web, family) for family in (4, 6))
    let_in(street)
    outside = ask("outside:internet", "web-1", "--tcp", "22", "--as", "203.0.113.80")
    assert (outside["packet"]["nw_src"], outside["packet"]["nw_dst"]) == ("203.0.113.80", str(four))
    assert ask("outside:internet", "web-1", "--tcp", "22", "-6")["packet"]["ipv6_dst"] == str(six)
    assert ask(f"router:{street.cast.router.name}", "web-1")["hops"][0]["kind"] == "router"


@pytest.mark.parametrize("ask", ASKERS, indirect=True)
def test_an_instant_that_is_over_is_asked_about(ask: Ask, street: Street) -> None:
    let_in(street, "tcp")
    opened = [encode_flow(flow) for flow in compiled()]
    street.closed.rules.filter(direction="ingress").delete()
    street.install()
    remembered(street, opened)
    then = (timezone.now() - timedelta(minutes=9)).strftime("%Y-%m-%d %H:%M:%S")
    assert ask("web-1", "db-1", "--tcp", "22", "--at", then)["verdict"] == "delivered"
    assert ask("web-1", "db-1", "--tcp", "22")["verdict"] == "dropped"


def remembered(street: Street, flows: list[WireFlow]) -> None:
    """hv1 is known to have had these flows from ten minutes ago on."""
    now = timezone.now()
    record = FlowRecord.objects.create(host=street.host, bridge="br-int", seen_at=now)
    deltas = [FlowDelta(flow) for flow in flows]
    record.checkpoints.create(at=now - timedelta(minutes=10), count=len(flows), flows=pack(deltas))


WRONG: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("db-1", "--tcp", "22", "--set", "nw_ttl=999"), "--set", "0 to 255 is allowed"),
    (("db-1", "--udp", "22", "--flags", "syn"), "--flags", "tcp_flags is no field of udp"),
    (("db-1", "--at", "noon"), "--at", "'noon' was given"),
    (("nobody",), "TARGET", "allowed are a VM's name"),
    (("db-1", "--tcp", "1", "--udp", "2"), "tcp", "choose one"),
    (("db-1", "-4", "-6"), "-4 and -6", "choose one"),
    (("198.51.100.7", "-6"), "-6", "198.51.100.7"),
    ((), "", "where to?|from which VM to which one"),
)


def test_what_is_wrong_names_what_was_typed(bob: Terminal, street: Street) -> None:
    for words, option, told in WRONG:
        said = bob.run("trace", "web-1", *words)
        with pytest.raises(CommandError) as refused:
            call_command("trace", "web-1", *words, "--team", street.cast.payments.slug)
        assert said.code in (1, 2) and refused.value.returncode == 2
        for text in (said.err, str(refused.value)):
            assert option in text and any(one in text for one in told.split("|")), (words, text)
    assert not TraceRequest.objects.exists()


def test_a_nic_is_named_by_its_network_or_an_address(bob: Terminal, street: Street) -> None:
    own = next(row.address for row in street.web.addresses.all())
    bob.ok("trace", "web-1", "db-1", "--nic", own)
    bob.ok("trace", "web-1", "db-1", "--nic", street.web.network.name)
    assert {row.source for row in TraceRequest.objects.all()} == {street.web}
    said = bob.run("trace", "web-1", "db-1", "--nic", "10.9.9.9")
    assert said.code == 2 and f"web-1 has {street.web.network.name}: " in said.err


def test_the_picture_shows_both_ways_or_the_one_back_and_the_verdict_is_judged(bob: Terminal, street: Street) -> None:
    let_in(street)
    both = bob.ok("trace", "web-1", "db-1", "--tcp", "22", "--expect", "delivered", "-v").out
    assert "Back:" in both and both.count("✔ delivered") == 2 and "tp_dst=22" in both
    assert bob.ok("trace", "web-1", "db-1", "--tcp", "22", "--return").out.count("✔ delivered") == 1
    other = bob.run("trace", "web-1", "db-1", "--tcp", "22", "--expect", "dropped")
    assert other.code == 1 and "the packet was not dropped: delivered" in other.err
    assert "allowed are delivered, dropped" in bob.run("trace", "web-1", "db-1", "--expect", "lost").err
    question = bob.run("trace", "web-1", "db-1", "--arp", "--return")
    assert question.code == 1 and "no way back" in question.err


def test_probings_are_listed_followed_and_ended(bob: Terminal, street: Street) -> None:
    assert bob.ok("probings").out == "No probing. Begin one: hopsight probe web-1 db-1 --tcp 5432\n"
    bob.ok("trace", "web-1", "db-1", "--tcp", "22")
    trace = TraceRequest.objects.get()
    over, live = (made_probing(street.cast, trace, state) for state in ("done", "running"))
    lines = bob.ok("probings").out.splitlines()
    assert lines[0].split()[:4] == ["PATH", "STATE", "SENT", "LOST"]
    assert [line.split()[-1] for line in lines[1:]] == [str(live.uuid), str(over.uuid)] and "2 of 60  50 %" in lines[1]
    told = bob.ok("probe", str(over.uuid)).out
    assert "0.90 ms" in told and "lost    A real packet was dropped" in told and "2 sent, 1 arrived, 50 % lost" in told
    bob.ok("probe", str(live.uuid), "--stop")
    live.refresh_from_db()
    assert not live.is_live and bob.ok("probings", "--state", "running", "--json").json() == []
    assert bob.run("probe", "web-1", "db-1", "--stop").code == 2
    assert "flying" in bob.run("probings", "--state", "flying").err


def test_a_real_packet_is_sent_as_its_guest_would_send_it_now(street: Street) -> None:
    street.install()
    remembered(street, [encode_flow(flow) for flow in compiled()])
    now = (timezone.now() - timedelta(seconds=1)).isoformat()
    for words in (("--set", "nw_ttl=1"), ("--at", now)):
        with pytest.raises(CommandError, match="--probe: a real packet is sent now"):
            call_command("trace", "web-1", "db-1", "--probe", *words, "--team", street.cast.payments.slug)


def test_both_command_lines_take_the_same_options_and_reach_every_field_of_the_api() -> None:
    """No field of the API, and no packet of the form, is without its words at a command line."""
    import typer

    sys.path.insert(0, str(ROOT / "cli"))
    from hopsight_cli import main, questions

    parser = Command().create_parser("manage.py", "trace")
    server = {one for action in parser._actions for one in action.option_strings}
    tree: Any = typer.main.get_command(main.app)
    client = {one for option in tree.commands["trace"].params for one in option.opts}
    asked = {f"--{name}" for name in KINDS if name != "icmp"} | {
        "--size",
        "--moment",
        "--flags",
        "--set",
        "--as",
        "--at",
    }
    asked |= {"--return", "--expect", "--json", "-4", "-6", "--next", "--deliver"}
    assert asked <= server & client
    named = {*questions.TYPED, *questions.Service.__dataclass_fields__}
    assert {name for name, field in TraceIn.model_fields.items() if field.description != NOT_READ} <= named
