"""docs/terraform: the program does as Terraform's `external` wants it, and the configuration asks for what the API has."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from portal.accounts.tokens import make_token
from portal.api.api import api
from portal.compute.user_data import user_data_problems
from tests.cast import Cast
from tests.cli.terminal import Terminal
from tests.portal.clients import made_vm

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs/terraform"
MAIN = (FOLDER / "main.tf").read_text()
PATHS = api.get_openapi_schema()["paths"]


def asked(query: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the program of the configuration answers, called as `external` calls it."""
    (found,) = re.findall(r"program = \[(.*)\]", MAIN)
    program, *words = json.loads(f"[{found}]".replace("${path.module}", str(FOLDER)))
    assert program == "python3"
    return subprocess.run(
        [sys.executable, *words], input=json.dumps(query), capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], **environment},
    )  # fmt: skip


@pytest.mark.xdist_group("examples")
def test_the_program_answers_a_map_of_strings_or_says_why_not(served: tuple[str, Cast]) -> None:
    url, cast = served
    vm, environment = (
        made_vm(cast),
        {"HOPSIGHT_URL": url, "HOPSIGHT_TOKEN": make_token(cast.charlie, "tf", False, 7)[1]},
    )
    done = asked({"name": vm.name}, **environment)
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0 and all(isinstance(value, str) for value in told.values())
    assert (told["uuid"], told["state"], told["host"]) == (str(vm.uuid), vm.state, "")
    assert set(re.findall(r"data\.external\.vm\.result\.(\w+)", MAIN)) <= set(told)
    for query, changed, words in (
        ({"name": "nobody"}, {}, "no VM 'nobody'"), ({}, {}, "lacks name"), ({"name": "x"}, {"HOPSIGHT_TOKEN": ""}, "HOPSIGHT_TOKEN"),
        ({"name": "x"}, {"HOPSIGHT_TOKEN": "hst_no"}, "401"), ({"name": "x", "team": "search"}, {}, "answered"),
    ):  # fmt: skip
        refused = asked(query, **{**environment, **changed})
        assert (refused.returncode, refused.stdout) == (1, "") and words in refused.stderr, query
        assert "Traceback" not in refused.stderr


def test_every_address_of_the_configuration_is_one_of_the_api() -> None:
    found = re.findall(r"url\s*= \"\$\{var\.hopsight\}([^\"]+)\"", MAIN)
    assert len(found) >= 2
    for address in found:
        split = urlsplit(address)
        operation = PATHS[split.path]["get"]
        known = {parameter["name"] for parameter in operation["parameters"]}
        assert set(dict(parse_qsl(split.query))) <= known, address


@pytest.mark.xdist_group("examples")
def test_every_command_of_the_configuration_is_one_of_the_client(terminal: Callable[[str], Terminal]) -> None:
    found = re.findall(r"command\s*= \"(hopsight .+)\"\n", MAIN)
    assert len(found) == 2
    for line in found:
        _, *words = shlex.split(line.replace('\\"', '"'))
        verbs, options = words[:2], [word for word in words if word.startswith("--")]
        told = terminal("bob").ok(*verbs, "--help").out
        assert all(option in told for option in options), line


def test_the_documented_user_data_is_some() -> None:
    page = (FOLDER.parent / "automation.md").read_text().partition("## cloud-init")[2].partition("\nas `web.yaml`")[0]
    text = "\n".join(line.removeprefix("    ") for line in page.strip("\n").splitlines()) + "\n"
    assert text.startswith("#cloud-config\n") and not user_data_problems(text)
