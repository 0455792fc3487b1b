"""The preview: the whole product without root. Somebody without any rights logs in, makes two VMs and traces between them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.waiting import wait_for

pytestmark = [pytest.mark.xdist_group("preview"), pytest.mark.timeout(300)]
NOBODY = 65534


@pytest.fixture(scope="module")
def preview() -> Iterator[Product]:
    home = Path(tempfile.mkdtemp(prefix="hs-prev-"))
    python, more = (sys.executable,), {"HOME": str(home)}
    if os.getuid() == 0:
        os.chown(home, NOBODY, NOBODY)
        python, more = _as_nobody(more)
    product = Product(home / "state", "none", port=18350, python=python, more=more)
    try:
        product.start()
        yield product
    finally:
        product.end()
        shutil.rmtree(home, ignore_errors=True)


def _as_nobody(more: dict[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Python as nobody. One in root's own home can't be run by others: the system's then, with our packages."""
    # through env: setpriv's own exec still has root's rights on the way to the file
    drop = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", "env")
    if subprocess.run([*drop, sys.executable, "-c", ""], capture_output=True).returncode == 0:
        return (*drop, sys.executable), more
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    more = {**more, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    works = subprocess.run([*drop, system, "-c", "import django, libvirt"], env={**os.environ, **more}, cwd="/")
    if works.returncode:
        pytest.skip("nobody can run this Python: it is in root's home, and the system's is of another version")
    return (*drop, system), more


def test_somebody_without_rights_makes_vms_and_traces_between_them(preview: Product) -> None:
    api = Api(preview, "alice")
    vms = []
    for name in ("web-1", "db-1"):
        asked = {"name": name, "image": "tiny", "flavor": "nano", "network": "payments-net"}
        status, answer = api.send("POST", "/vms", asked)
        assert status == 202, answer
        vms.append(answer["vm"]["uuid"])
        _is_done(api, answer)
    web, db = (api.get(f"/vms/{uuid}") for uuid in vms)
    asked = {"source": web["ports"][0]["uuid"], "target": db["ports"][0]["uuid"]}
    status, answer = api.send("POST", "/traces", asked)
    assert status == 202, answer
    path = f"/traces/{answer['uuid']}"
    wait_for(lambda: api.get(path)["state"] in ("done", "failed"), 40, f"the trace ends\n{preview.log()}", 0.1)
    trace = api.get(path)
    assert (trace["state"], trace["result"]["verdict"]) == ("done", "delivered"), trace["error"]
    status, answer = api.send("POST", f"/vms/{db['uuid']}/actions/suspend")
    assert status == 202, answer
    _is_done(api, answer)
    assert api.get(f"/vms/{db['uuid']}")["state"] == "paused"
    for uuid in vms:
        assert api.send("DELETE", f"/vms/{uuid}")[0] == 202
    wait_for(lambda: api.get("/vms")["items"] == [], 60, f"both are gone\n{preview.log()}", 0.1)


def _is_done(api: Api, answer: dict[str, Any]) -> None:
    path = f"/operations/{answer['operation']['uuid']}"
    wait_for(lambda: api.get(path)["state"] in ("done", "failed"), 60, f"{path} ends", 0.1)
    assert api.get(path)["state"] == "done", api.get(path)
