"""The commands that the docs show: curl's are run as they stand; those of hopsight and manage.py are read as the programs read them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from portal.accounts.models import ApiToken, User
from portal.accounts.tokens import make_token
from tests.cast import Cast
from tests.cli.terminal import ROOT

TEXTS = [ROOT / "README.md", ROOT / "cli/README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = re.compile(r"^ *```\w*\n(.*?)^ *```|((?:^ {4,}\S.*\n)+)", re.M | re.S)
STREAM = "-N "  # events, which this server without asyncio does not end (test_api_conditions.py has them)
pytestmark = pytest.mark.xdist_group("cli")


def shown(program: str) -> Iterator[tuple[str, str]]:
    """(file, its words) of each command of a program that stands in a block or between backticks; a line that goes on is one."""
    for path in TEXTS:
        text = path.read_text().replace("\\\n", " ")
        lines = [line.strip() for block in BLOCKS.finditer(text) for line in (block[1] or block[2]).splitlines()]
        for line in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
            found = re.search(rf"(?:^|\bpython |^exec ){re.escape(program)} (?!=)(.*)$", line)
            if found:
                yield f"{path.parent.name}/{path.name}", found[1]


def words_of(line: str) -> list[str]:
    """What the shell makes of it, up to a pipe; what stands for something of the reader's is a word like any other."""
    words = shlex.split(line.replace("…", "x").replace('"$@"', ""), comments=True)
    return words[: next((number for number, word in enumerate(words) if word in ("|", "<", ">", "&&", ";")), None)]


def test_hopsight_knows_each_command_and_option_that_is_shown() -> None:
    from typer.main import get_command

    sys.path.insert(0, str(ROOT / "cli"))
    from hopsight_cli.main import WRONG_USE, app

    # --install-completion does its work while it is read
    found, wrong = sorted({one for one in shown("hopsight") if not one[1].startswith("--install")}), []
    assert len(found) > 35
    for file, line in found:
        command: Any = get_command(app)
        context, words = None, words_of(line)
        try:
            while True:
                context = command.make_context("hopsight", words, parent=context)
                if not hasattr(command, "commands"):
                    break
                _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        except WRONG_USE as problem:
            wrong.append(f"{file}: hopsight {line}: {problem.format_message()}")
    assert not wrong, "\n".join(wrong)


def test_manage_py_knows_each_command_and_option_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found, wrong = sorted(set(shown("manage.py")) | set(shown(".venv/bin/python manage.py"))), []
    assert len(found) > 10
    for file, line in found:
        name, *words = words_of(line)
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        try:
            parser.parse_args(words)
        except (SystemExit, Exception) as problem:
            if words not in ([], ["add"]):  # the command's own name, in a sentence
                wrong.append(f"{file}: manage.py {line}: {problem}")
    assert not wrong, "\n".join(wrong)


def test_each_curl_that_is_shown_works_as_it_stands(served: tuple[str, Cast]) -> None:
    url, cast = served
    User.objects.filter(pk=cast.alice.pk).update(is_operator=True)
    environment = {**os.environ, "TOKEN": make_token(cast.alice, "docs", True, 7)[1]}
    found = list(shown("curl")) + list(shown("id=$(curl"))
    assert len(found) >= 6
    plain = [line for _, line in found if "$id" not in line and not line.endswith(".id)")]
    scripts = [f"curl {line}" for line in plain if not line.startswith(STREAM)]
    scripts += ["id=$(curl " + line for _, line in found if line.endswith(".id)")]
    scripts[-1] += "\n" + next(f"curl {line}" for _, line in found if "$id" in line)
    for script in scripts:
        command = script.replace("curl", "curl --fail-with-body --max-time 30").replace("https://hopsight.example", url)
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        assert done.stdout.startswith("hst_") or json.loads(done.stdout) is not None
    assert ApiToken.objects.get(name="ci").user.username == "deploy@payments"
