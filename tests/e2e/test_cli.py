"""The main job from a terminal: log in, make two VMs, type on a console, log in by SSH, see the packet's way, delete.

[hopsight]--HTTP, WebSocket--[web] … [web-1]--tap--[br-int@hv1]==vni==[br-int@hv2]--tap--[db-1]
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.e2e.api import Api
from tests.e2e.conftest import ARTIFACTS, Product
from tests.waiting import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]
SSH = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")


@pytest.fixture(scope="module")
def alice(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Alice's terminal, let in by her browser."""
    home = tmp_path_factory.mktemp("alice")
    terminal = Terminal(home, in_process=False)
    waiting = terminal.started("login", product.url, "--no-browser", "--team", "payments")
    waiting.shows("if it shows the code ")
    code = re.search(r"the code (\w{4}-\w{4})", waiting.seen)
    assert code is not None
    Api(product, "alice").post_page("/device/", code=code[1], word="agree")
    assert waiting.end() == 0, waiting.seen
    yield terminal
    for name in ("cli-web", "cli-db"):
        terminal.run("vm", "delete", name, "--yes", timeout=120)
    terminal.run("logout")


def key_of(home: Path) -> Path:
    path = home / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def test_two_vms_are_made_reached_traced_and_deleted(product: Product, alice: Terminal) -> None:
    key = key_of(alice.home)
    number = alice.ok("key", "add", f"{key}.pub", "--json").json()[0]["id"]
    for name in ("cli-web", "cli-db"):
        words = ("--image", "tiny", "--size", "nano", "--network", "payments-net", "--key", str(number), "--ssh")
        said = alice.ok("vm", "create", name, *words, timeout=200)
        assert "✔" in said.err and re.search(r"state +running", said.out), said
    assert {"cli-web", "cli-db"} <= {row["name"] for row in alice.ok("vm", "list", "--json").json()}

    via = ("--via", f"ip netns exec hs-{product.lab}-access")
    told = alice.ok("ssh", *via, "cli-web", "--", "-i", str(key), *SSH, "hostname", timeout=120)
    assert told.out.strip() == "cli-web"

    drawn = alice.ok("trace", "cli-web", "cli-db", "--strict", timeout=90).out
    (ARTIFACTS / "trace.txt").write_text(alice.ok("trace", "cli-web", "cli-db", "--tcp", "22", timeout=90).out)
    assert "✔ delivered" in drawn and "cli-web" in drawn and "br-int" in drawn
    closed = alice.run("trace", "cli-web", "203.0.113.77", "--tcp", "9", "--strict", timeout=90)
    assert closed.code in (0, 1) and closed.out

    console = alice.started("console", "cli-web")
    console.shows("Connected to cli-web")
    console.press("\n")
    console.shows("root@cli-web:~# ")
    console.press("echo $((6 * 7))-there\n")
    console.shows("42-there")
    console.press("\x1d")
    assert console.end() == 0

    assert alice.ok("vm", "stop", "cli-web", timeout=120)
    assert "vm.stop" in alice.ok("operation", "list", "--vm", "cli-web").out
    wait_for(lambda: "stopped" in alice.ok("vm", "show", "cli-web").out, 60, "it is off")
    asked = ("trace", "cli-web", "cli-db", "--tcp", "22", "--strict")  # its switch takes packets in its name
    in_its_name = wait_for(lambda: found if (found := alice.run(*asked, timeout=90)).code == 0 else None, 40, "a trace")
    assert "✔ delivered" in in_its_name.out, in_its_name.out
    off = alice.run("console", "cli-web")
    assert off.code == 1 and "is off" in off.err
    for name in ("cli-web", "cli-db"):
        assert f"{name} is gone." in alice.ok("vm", "delete", name, "--yes", timeout=120).out
