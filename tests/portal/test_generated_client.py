"""The Python client that scripts/client writes from the served document, talking to the server."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

from portal.accounts.models import User
from portal.accounts.tokens import make_token
from tests.cast import make_cast
from tests.portal.clients import made_alert, made_bundle, made_channel, made_host, made_trace, made_vm, made_volume

pytestmark = pytest.mark.xdist_group("examples")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def served(transactional_db: None, redis_server: str, settings: Any, live_server: Any) -> Any:
    """The server's address, its document, and a token of Alice, who operates too."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast = make_cast()
    User.objects.filter(pk=cast.alice.pk).update(is_operator=True)
    document = httpx.get(f"{live_server.url}/api/v1/openapi.json", timeout=60)  # the first one builds it
    return SimpleNamespace(url=live_server.url, cast=cast, document=document, token=make_token(cast.alice, "generated", True, 7)[1])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture
def hopsight(served: Any, folder: Path) -> Iterator[Any]:
    """The generated package's `call(noun, operation)` and `model(name)`, and a client that is logged in."""
    if not (folder / "client").exists():
        (folder / "openapi.json").write_text(served.document.text)
        argv = [ROOT / "scripts/client", folder / "client", folder / "openapi.json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder / "client"))
    package = importlib.import_module("hopsight_client")
    client = package.AuthenticatedClient(base_url=served.url, token=served.token, raise_on_unexpected_status=True)

    def call(noun: str, operation: str) -> ModuleType:
        return importlib.import_module(f"hopsight_client.api.{noun.replace('-', '_')}.{operation}")

    yield SimpleNamespace(call=call, client=client, model=lambda name: getattr(importlib.import_module("hopsight_client.models"), name))  # fmt: skip
    client.get_httpx_client().close()  # the server does not end while a connection is kept
    sys.path.remove(str(folder / "client"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "hopsight_client"]:
        del sys.modules[name]


def test_it_has_every_operation_and_reads_what_every_list_answers(served: Any, hopsight: Any) -> None:
    cast, host = served.cast, made_host()
    vm = made_vm(cast)
    made_trace(cast), made_volume(cast, host=host), made_bundle(cast), made_alert(cast), made_channel(cast)
    unread = []
    for path, item in served.document.json()["paths"].items():
        for method, operation in item.items():
            module = hopsight.call(path.split("/")[3], operation["operationId"])
            needed = [one for one in operation.get("parameters", []) if one["required"]]
            if method != "get" or needed or "application/json" not in operation["responses"].get("200", {}).get("content", {}):  # fmt: skip
                continue
            answer = module.sync_detailed(client=hopsight.client)
            if answer.status_code != 200 or answer.parsed is None:
                unread.append(f"{path}: {answer.status_code} {answer.content[:200]!r}")
    assert not unread
    rows = hopsight.call("vms", "list_vms").sync(client=hopsight.client, limit=1)
    assert [(row.uuid, row.name) for row in rows.items] == [(vm.uuid, vm.name)]


def test_it_makes_a_network_and_asks_for_a_vm(served: Any, hopsight: Any) -> None:
    asked = hopsight.model("NetworkIn")(name="made-by-client", cidr="10.77.0.0/24")
    made = hopsight.call("networks", "post_network").sync(client=hopsight.client, body=asked, idempotency_key="once")
    again = hopsight.call("networks", "post_network").sync(client=hopsight.client, body=asked, idempotency_key="once")
    assert (made.name, again.uuid) == ("made-by-client", made.uuid)
    shown = asyncio.run(_asked(hopsight, made.uuid))
    assert [subnet.cidr for subnet in shown.subnets] == ["10.77.0.0/24"]
    body = hopsight.model("VMIn")(name="web-9", image="tiny", flavor="nano", network="made-by-client")
    answer = hopsight.call("vms", "post_vm").sync_detailed(client=hopsight.client, body=body)
    assert answer.status_code == 202, answer.content
    operation = hopsight.call("operations", "get_operation").sync(answer.parsed.operation.uuid, client=hopsight.client)
    assert (operation.state, [stage.name for stage in operation.stages][:1]) == ("queued", ["place"])


async def _asked(hopsight: Any, network: Any) -> Any:
    async with hopsight.client as client:
        return await hopsight.call("networks", "get_network").asyncio(network, client=client)


def test_a_refusal_comes_as_a_problem_with_its_fields(hopsight: Any) -> None:
    asked = hopsight.model("NetworkIn")(name="two words", cidr="10.77.0.0/33")
    refused = hopsight.call("networks", "post_network").sync_detailed(client=hopsight.client, body=asked)
    assert refused.status_code == 422
    assert type(refused.parsed).__name__ == "ProblemOut"
    assert {"name", "cidr"} <= set(refused.parsed.errors.additional_keys)
    absent = hopsight.call("vms", "get_vm").sync(uuid.uuid4(), client=hopsight.client)
    assert (absent.status, type(absent).__name__) == (404, "ProblemOut")


def test_the_documented_example_runs(served: Any, hopsight: Any, capsys: pytest.CaptureFixture[str]) -> None:
    vm, words = made_vm(served.cast), (ROOT / "docs/automation.md").read_text().partition("## A client in Python")[2]
    block = textwrap.dedent(words[words.index("    from hopsight_client") :].partition("\nLeave")[0])
    code = block.replace("https://hopsight.example", served.url).replace("hst_…", served.token)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/automation.md", "exec"), names)
    names["hopsight"].get_httpx_client().close()
    assert vm.name in capsys.readouterr().out
    assert served.cast.payments.networks.filter(name="backend").exists()
