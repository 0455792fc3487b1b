"""`hopsight` as a person types it, against a server over HTTP: tables, JSON, refusals in words, exit codes, log-in."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from portal.accounts.models import ApiToken, AuditRow
from portal.accounts.tokens import TokenSpec, make_scoped
from portal.compute.models import VM
from portal.operations.models import Operation
from tests.cast import Cast
from tests.cli.terminal import ROOT, Terminal
from tests.portal.clients import client_of, made_host, made_image, made_topology_record, made_vm, made_volume
from tests.traces.factory import dropped

People = Callable[[str], Terminal]
pytestmark = pytest.mark.xdist_group("cli")


def test_tables_and_json_tell_the_same_and_say_what_to_do_when_there_is_nothing(
    terminal: People, served: tuple[str, Cast]
) -> None:
    bob = terminal("bob")
    assert bob.ok("vm", "list").out == "No VM. Make one: hopsight vm create NAME\n"
    made_vm(served[1])
    lines = bob.ok("vm", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "ADDRESS", "HOST", "IMAGE", "SIZE", "AGE"]
    assert lines[1].startswith("web-1  creating  10.20.0.")
    assert [row["name"] for row in bob.ok("vm", "list", "--json").json()] == ["web-1"]
    shown = bob.ok("vm", "show", "web-1").out
    assert "payments-net" in shown and re.search(r"ssh +.*ssh root@10\.20\.0\.", shown)


def test_a_vm_is_made_and_its_operation_is_followed(terminal: People, served: tuple[str, Cast]) -> None:
    bob = terminal("bob")
    said = bob.ok(
        "vm", "create", "web-1", "--image", "tiny", "--size", "nano", "--network", "payments-net", "--no-wait"
    )
    uuid = said.err.split()[-1]
    assert str(Operation.objects.get().uuid) == uuid and VM.objects.get().name == "web-1"
    assert uuid in bob.ok("operation", "list").out
    assert "vm.create" in bob.ok("operation", "show", uuid).out
    Operation.objects.update(state="failed", error="no host has room")
    failed = bob.run("operation", "wait", uuid)
    assert failed.code == 1 and "vm.create of web-1 failed: no host has room" in failed.err


def test_every_wrong_field_is_told_at_once(terminal: People) -> None:
    said = terminal("bob").run("vm", "create", "A_B", "--image", "nice", "--size", "huge", "--network", "payments-net")
    assert said.code == 1 and said.out == ""
    assert [line.split(":")[0].strip() for line in said.err.splitlines() if line.startswith("  ")] == [
        "name",
        "image",
        "flavor",
    ]


def test_a_name_that_is_nearly_right_is_offered(terminal: People, served: tuple[str, Cast]) -> None:
    made_vm(served[1])
    said = terminal("bob").run("vm", "show", "web1")
    assert said.code == 2 and "there is no VM 'web1' in this team: did you mean web-1?" in said.err


def test_a_viewer_is_told_which_role_it_takes_and_a_reading_token_that_it_reads(
    terminal: Callable[..., Terminal], served: tuple[str, Cast]
) -> None:
    made_vm(served[1])
    refused = terminal("charlie").run("vm", "delete", "web-1", "--yes")
    assert refused.code == 1 and "You are a viewer of Payments; this needs the role member." in refused.err
    refused = terminal("bob", can_write=False).run("vm", "stop", "web-1")
    assert refused.code == 1 and "may only read" in refused.err


def test_another_teams_vm_does_not_exist(terminal: People, served: tuple[str, Cast]) -> None:
    uuid = str(made_vm(served[1]).uuid)
    for name in ("web-1", uuid):
        said = terminal("dana").run("vm", "show", name)
        assert said.code in (1, 2) and "payments" not in said.err.lower()


def test_nothing_is_deleted_where_nobody_can_be_asked(terminal: People, served: tuple[str, Cast]) -> None:
    made_vm(served[1])
    said = terminal("bob").run("vm", "delete", "web-1")
    assert said.code == 2 and "add --yes" in said.err and VM.objects.get().state != "deleting"


def test_without_a_log_in_it_says_how(served: tuple[str, Cast], tmp_path: Path) -> None:
    said = Terminal(tmp_path, served[0]).run("vm", "list")
    assert said.code == 3 and "Run `hopsight login` first" in said.err
    away = Terminal(tmp_path, "http://127.0.0.1:9").run("vm", "list")
    assert away.code == 4 and "does not answer" in away.err and "--url" in away.err


def test_a_log_in_by_the_browser_is_kept_for_its_owner_alone_and_ended(
    served: tuple[str, Cast], tmp_path: Path
) -> None:
    url, cast = served
    person = Terminal(tmp_path)
    waiting = person.started("login", url, "--no-browser", "--team", "payments")
    waiting.shows("if it shows the code ")
    code = re.search(r"the code (\w{4}-\w{4})\.", waiting.seen)
    assert code is not None
    browser = client_of(cast.alice)
    assert "in as alice?" in browser.post(reverse("device"), {"code": code[1]}).content.decode()
    browser.post(reverse("device"), {"code": code[1], "word": "agree"})
    assert waiting.end() == 0 and "as alice; teams: payments" in waiting.seen
    kept = tmp_path / ".config/hopsight/login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "payments (owner)" in person.ok("whoami").out
    elsewhere = person.run("--url", "http://127.0.0.1:9", "whoami")
    assert elsewhere.code == 4
    assert person.run("--url", url.replace("localhost", "127.0.0.1"), "whoami").code == 3, "a token is one server's"
    person.ok("logout")
    assert not kept.exists() and ApiToken.objects.count() == 0


def test_a_reason_goes_with_the_change_and_with_nothing_that_is_read(
    terminal: People, served: tuple[str, Cast]
) -> None:
    bob = terminal("bob")
    bob.ok("--reason", "ticket 4711,\n ночью", "network", "create", "back", "10.30.0.0/24")
    assert AuditRow.objects.get(action="network.create").reason == "ticket 4711, ночью"
    assert bob.ok("--reason", "x" * 300, "vm", "list").code == 0
    said = bob.run("--reason", "x" * 300, "network", "create", "third", "10.31.0.0/24")
    assert said.code == 1 and "X-Reason: 300 characters were given; at most 200 are allowed" in said.err


def test_a_person_chooses_the_language_and_the_zone_of_the_pages(terminal: People, served: tuple[str, Cast]) -> None:
    bob = terminal("bob")
    assert "your browser's" in bob.ok("settings").out
    told = bob.ok("settings", "--language", "ru", "--time-zone", "Europe/Berlin").out
    assert "ru" in told and "Europe/Berlin" in told
    served[1].bob.refresh_from_db()
    assert (served[1].bob.language, served[1].bob.time_zone) == ("ru", "Europe/Berlin")
    refused = bob.run("settings", "--language", "de", "--time-zone", "")
    assert refused.code == 1 and "en, ru are there" in refused.err
    assert "Europe/Berlin" in bob.ok("settings").out


def test_a_token_is_taken_from_stdin_and_a_false_one_is_refused(terminal: People, served: tuple[str, Cast]) -> None:
    bob = terminal("bob")
    fresh = Terminal(bob.home)
    fresh.ok("login", served[0], "--token", stdin=bob.token + "\n")
    assert "bob" in fresh.ok("whoami").out
    assert fresh.run("login", served[0], "--token", stdin="hst_false\n").code == 3
    assert fresh.run("login", served[0], "--token", stdin="secret\n").code == 2


def test_ssh_takes_words_before_and_after_and_no_option_from_the_server(
    terminal: People, served: tuple[str, Cast]
) -> None:
    vm, bob = made_vm(served[1]), terminal("bob")
    VM.objects.update(state="running")
    address = vm.ports.get().addresses.all()[0].address
    for given, wanted in (
        ([], f"ssh root@{address}"),
        (["--", "uname", "-a"], f"ssh root@{address} uname -a"),
        (["--", "-L", "8080:localhost:80", "-v", "id"], f"ssh -L 8080:localhost:80 -v root@{address} id"),
        (["--user", "debian", "--via", "ip netns exec x"], f"ip netns exec x ssh debian@{address}"),
    ):
        assert bob.ok("ssh", "--print", "web-1", *given).out.strip() == wanted
    type(vm.image).objects.update(login_user="-oProxyCommand=id")
    said = bob.run("ssh", "--print", "web-1")
    assert said.code == 1 and "a log-in that is none" in said.err


def test_a_packet_of_a_hosts_port_is_drawn_for_operators(
    terminal: People, served: tuple[str, Cast], monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.traces.models import PortTrace
    from sdn.model.trace import to_json

    def worker(pk: int) -> None:
        PortTrace.objects.filter(pk=pk).update(state="done", result=to_json(dropped()))

    monkeypatch.setattr("portal.traces.port_traces.enqueue_port_trace", worker)
    made_topology_record(made_host("hv1"))
    olga = terminal("olga")
    said = olga.ok("host", "trace", "hv1", "in_port=7,icmp,nw_dst=10.0.0.9")
    assert "br-int of hv1" in said.out and "dropped" in said.out
    assert PortTrace.objects.get().flow == "in_port=7,icmp,nw_dst=10.0.0.9"
    wrong = olga.run("host", "trace", "hv1", "in_port=7,icmp", "--bridge", "br-none")
    assert wrong.code != 0 and "hv1 has br-int" in wrong.err
    assert terminal("bob").run("host", "trace", "hv1", "in_port=7,icmp").code != 0


def test_a_trace_from_a_router_or_outside_names_it(terminal: People, served: tuple[str, Cast]) -> None:
    bob, _ = terminal("bob"), made_vm(served[1])
    assert "external networks are internet" in bob.run("trace", "outside:moon", "web-1").err
    assert "router 'none-such' was given" in bob.run("trace", "router:none-such", "web-1").err
    assert "router 'none-such' was given" in bob.run("probe", "router:none-such", "web-1").err


def test_a_trace_is_drawn_with_its_reason_and_judged(terminal: People, served: tuple[str, Cast]) -> None:
    from portal.traces.models import TraceRequest
    from sdn.model.trace import to_json

    bob, cast = terminal("bob"), served[1]
    row = TraceRequest.objects.create(
        team=cast.payments, created_by=cast.bob, title="web-1 → db-1 icmp", state="done", result=to_json(dropped())
    )
    said = bob.ok("trace", str(row.uuid)).out
    assert "✖ dropped  Dropped on hv1: its source IPv4 address is not the port's own" in said
    assert said.splitlines()[1].startswith("asked: icmp from ")
    assert said.index("web-1 eth0") < said.index("vnet3") < said.index("br-int") < said.index("it ends here")
    assert "ofproto/trace" not in said and "ofproto/trace" in bob.ok("trace", "-v", str(row.uuid)).out
    assert bob.run("trace", str(row.uuid), "--strict").code == 1
    assert bob.ok("trace", str(row.uuid), "--json").json()["result"]["verdict"] == "dropped"
    assert "dropped" in bob.ok("traces").out
    plain = Terminal(bob.home, bob.url, bob.token, {"PYTHONIOENCODING": "ascii"}).ok("trace", str(row.uuid)).out
    assert plain.isascii() and "x dropped" in plain


def test_networks_are_made_shown_and_deleted(terminal: People) -> None:
    bob = terminal("bob")
    assert "10.30.0.0/24" in bob.ok("network", "create", "back", "10.30.0.0/24").out
    assert "back" in bob.ok("network", "list").out
    assert bob.ok("network", "show", "back", "--json").json()["subnets"][0]["gateway"] == "10.30.0.1"
    wrong = bob.run("network", "create", "other", "10.30.0.0")
    assert wrong.code == 1 and "cidr" in wrong.err
    bob.ok("network", "delete", "back", "--yes")
    assert "back" not in bob.ok("network", "list").out
    for words in (["routers"], ["floating"], ["groups"]):
        bob.ok("network", *words)


def test_checks_are_pinned_listed_and_removed(terminal: People, served: tuple[str, Cast]) -> None:
    made_vm(served[1])
    bob = terminal("bob")
    added = bob.ok("check", "add", "web-1", "203.0.113.9", "--tcp", "443", "--expect", "dropped").out
    assert "web-1" in added and "waiting" in added
    strict = bob.run("check", "list", "--strict")
    assert strict.code == 1 and "1 of 1 paths are not as expected" in strict.err
    bob.ok("check", "remove", bob.ok("check", "list", "--json").json()[0]["uuid"])
    assert "No check." in bob.ok("check", "list").out
    assert bob.run("check", "add", "web-1", "db-1", "--tcp", "1", "--udp", "2").code == 2


def test_hosts_are_for_operators(terminal: People, served: tuple[str, Cast]) -> None:
    made_host()
    assert "hv1" in terminal("olga").ok("host", "list").out
    refused = terminal("bob").run("host", "list")
    assert refused.code == 1 and "are for operators" in refused.err
    assert "hv1" in terminal("bob").ok("host", "status").out


def test_watching_shows_what_changes_until_it_is_ended(terminal: People, served: tuple[str, Cast]) -> None:
    vm = made_vm(served[1])
    watching = terminal("bob").started("vm", "list", "--watch")
    watching.shows("creating")
    VM.objects.filter(pk=vm.pk).update(state="running")
    watching.shows("running")
    watching.interrupt()
    assert watching.end() == 130
    assert "Traceback" not in watching.seen


def test_a_hostile_name_moves_no_cursor(terminal: People, served: tuple[str, Cast]) -> None:
    made_vm(served[1])
    VM.objects.update(state_reason="\x1b[2Jgone\x07")
    shown = terminal("bob").ok("vm", "show", "web-1").out
    assert "\x1b" not in shown and "gone" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["vm", "list", "--colour"], "No such option: --colour"),
        (["vm", "lst"], "No such command 'lst'"),
        (["vm", "show"], "Missing argument"),
        (["traces", "--limit", "0"], "0 is not in the range"),
    ],
)
def test_a_wrong_option_or_command_is_told_in_words(tmp_path: Path, words: list[str], told: str) -> None:
    said = Terminal(tmp_path, "http://127.0.0.1:9").run(*words)
    assert said.code == 2 and told in said.err and "for help" in said.err
    assert "Traceback" not in said.err


def test_any_request_can_be_sent(terminal: People) -> None:
    bob = terminal("bob")
    assert bob.ok("api", "get", "/usage").json()["team"] == "payments"
    made = bob.ok("api", "POST", "networks", "-d", json.dumps({"name": "raw", "cidr": "10.40.0.0/24"})).json()
    bob.ok("api", "DELETE", f"/api/v1/networks/{made['uuid']}")
    assert [list(row) for row in bob.ok("api", "GET", "/networks?limit=1&fields=name").json()["items"]] == [["name"]]
    assert bob.run("api", "GET", "/vms?stat=running").code == 1
    assert bob.run("api", "POST", "/networks", "-d", "{").code == 2
    assert bob.run("api", "FETCH", "/vms").code == 2


@pytest.mark.parametrize("url", ["nothing", "ftp://127.0.0.1", "http://", "http://[::1", "https://x:99999"])
def test_an_address_that_is_none_is_told_before_anything_is_asked(tmp_path: Path, url: str) -> None:
    for said in (Terminal(tmp_path).run("--url", url, "vm", "list"), Terminal(tmp_path, url).run("login")):
        assert said.code == 2 and "an address begins with https://" in said.err


def test_what_reads_it_may_go_away_or_be_full(terminal: People, served: tuple[str, Cast]) -> None:
    bob = terminal("bob")
    argv = [sys.executable, "-m", "hopsight_cli", "network", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, env=bob.environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr == "hopsight: the answer cannot be written: No space left on device\n"
    watching = subprocess.Popen([*argv, "--watch"], env=bob.environment(), stdout=subprocess.PIPE)
    assert watching.stdout is not None and watching.stdout.readline().startswith(b"NAME")
    watching.stdout.close()  # nothing changes: there is nothing to write that could fail
    assert watching.wait(10) == 0


def test_a_shell_completes_the_names_of_vms(terminal: People, served: tuple[str, Cast]) -> None:
    made_vm(served[1])
    made_vm(served[1], "db-1")
    bob = terminal("bob")
    words = {"_HOPSIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "hopsight vm show w", "COMP_CWORD": "3"}
    bob.more = words
    code = "import sys; sys.argv = ['hopsight']; from hopsight_cli.main import app; app(prog_name='hopsight')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=bob.environment(), capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split() == ["web-1"], done.stderr


def commands() -> list[list[str]]:
    """Every command's words, as the tree has them."""
    import click
    import typer

    sys.path.insert(0, str(ROOT / "cli"))
    from hopsight_cli.main import app

    found: list[list[str]] = []

    def walk(command: object, words: list[str]) -> None:
        found.append(words)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*words, name])

    walk(typer.main.get_command(app), [])
    assert click
    return found


def test_every_command_says_what_it_does_in_one_whole_sentence() -> None:
    from typer.testing import CliRunner

    tree = commands()
    from hopsight_cli.main import app

    for words in tree:
        said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}, prog_name="hopsight")
        assert said.exit_code == 0, words
        lines = said.output.splitlines()
        assert lines[2].strip() and "\b" not in said.output, said.output
        listed = lines[lines.index("Commands:") :] if "Commands:" in lines else []
        assert not [line for line in listed if line.rstrip().endswith("...")], "\n".join(listed)


def test_pip_installs_the_command(tmp_path: Path) -> None:
    copy = tmp_path / "cli"
    subprocess.run(["cp", "-r", str(ROOT / "cli"), str(copy)], check=True)
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--prefix"]
    done = subprocess.run([*argv, str(tmp_path / "out"), str(copy)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    library = next((tmp_path / "out").glob("lib/*/site-packages"))
    said = subprocess.run(
        [str(tmp_path / "out/bin/hopsight"), "--help"], env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert "hopsight trace web-1 db-1 --tcp 5432" in said.stdout, said.stderr


def test_the_package_asks_for_what_it_imports() -> None:
    told = (ROOT / "cli/pyproject.toml").read_text()
    imported = set(re.findall(r"^(?:from|import) (\w+)", "".join(p.read_text() for p in ROOT.glob("cli/*/*.py")), re.M))
    ours = {"hopsight_cli", *sys.stdlib_module_names}
    assert {name for name in imported - ours if name not in told} <= {"click"}, "click comes with typer"


def test_a_public_key_is_added_and_a_private_one_stays_where_it_is(terminal: People, tmp_path: Path) -> None:
    bob, path = terminal("bob"), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", str(path)], check=True)
    refused = bob.run("key", "add", str(path))
    assert refused.code == 2 and "is a private key" in refused.err
    assert "laptop" in bob.ok("key", "add", f"{path}.pub").out
    number = bob.ok("key", "list", "--json").json()[0]["id"]
    said = terminal("alice").run("key", "delete", str(number))
    assert said.code == 1, "another's key"
    bob.ok("key", "delete", str(number))
    assert "No key." in bob.ok("key", "list").out


def test_ansible_reads_the_vms_by_group(terminal: People, served: tuple[str, Cast]) -> None:
    vm, bob = made_vm(served[1]), terminal("bob")
    told = bob.ok("inventory", "--list").json()
    address = vm.ports.get().addresses.all()[0].address
    assert (
        told["_meta"]["hostvars"]["web-1"] | {"ansible_host": address, "ansible_user": "root"}
        == (told["_meta"]["hostvars"]["web-1"])
    )
    assert told["image_tiny"] == told["network_payments_net"] == told["state_creating"] == {"hosts": ["web-1"]}
    assert bob.ok("inventory", "--host", "web-1").json() == told["_meta"]["hostvars"]["web-1"]
    assert bob.run("inventory", "--host", "web-9").code == 2
    assert terminal("dana").ok("inventory").json() == {"_meta": {"hostvars": {}}}


def test_a_mirror_is_set_listed_and_ended(terminal: People, served: tuple[str, Cast]) -> None:
    bob = terminal("bob")
    assert bob.ok("mirror", "list").out == "No mirror. Make one: hopsight mirror set web-1 ids-1\n"
    for name in ("web-1", "ids-1"):
        made_vm(served[1], name)
    assert "ids-1" in bob.ok("mirror", "set", "web-1", "ids-1", "--what", "sends").out
    assert bob.ok("mirror", "list").out.splitlines()[1].split()[:3] == ["web-1", "sends", "ids-1"]
    wrong = bob.run("mirror", "set", "web-1", "web-1", "--what", "all")
    assert wrong.code == 1 and "which is the watched port itself" in wrong.err and "“all” was given" in wrong.err
    assert bob.ok("mirror", "end", "web-1").out == "web-1 is not watched any more.\n"
    assert bob.ok("mirror", "list", "--json").json() == []


def test_a_program_asks_for_no_more_than_it_needs(served: tuple[str, Cast], tmp_path: Path) -> None:
    _, secret = make_scoped(served[1].bob, TokenSpec("narrow", ("network:write",), 7), served[1].bob)
    terminal = Terminal(tmp_path, served[0], secret)
    assert "narrow, read, network:write" in terminal.run("whoami").out
    refused = terminal.run("vm", "create", "web-9")
    assert refused.code == 1 and "has the scopes network:write; this needs vm:write" in refused.err


def test_an_image_is_shared_and_taken_back(terminal: People, served: tuple[str, Cast]) -> None:
    slug, alice, dana = made_image(served[1], "Golden").slug, terminal("alice"), terminal("dana")
    assert alice.ok("vm", "share-image", slug, "search").out == "Golden is shared with search.\n"
    assert "payments" in dana.ok("vm", "images").out
    assert alice.ok("vm", "share-image", slug).out == "Golden is shared with nobody.\n"
    assert "payments" not in dana.ok("vm", "images").out


def test_a_plan_of_snapshots_is_told_changed_and_ended(terminal: People, served: tuple[str, Cast]) -> None:
    bob, volume = terminal("bob"), made_volume(served[1])
    made_vm(served[1])
    Operation.objects.update(state="done")
    for words in (("snapshot", "plan", "web-1"), ("volume", "snapshot", "plan", volume.name)):
        assert bob.ok(*words).out == "No plan. Make one: --every HOURS --keep COUNT\n"
        said = bob.run(*words, "--keep", "3")
        assert said.code == 2 and "there is no plan yet: add --every HOURS" in said.err
        bob.ok(*words, "--every", "12", "--keep", "3")
        lines = bob.ok(*words, "--keep", "5").out.splitlines()
        assert [line.split() for line in lines[:2]] == [["every", "12", "h"], ["keeps", "the", "last", "5"]]
        refused = bob.run(*words, "--every", "9999")
        assert refused.code == 1 and "9999 was given; 0 (none) to 744 are allowed" in refused.err
        assert bob.ok(*words, "--every", "0").out.startswith("No plan.")
