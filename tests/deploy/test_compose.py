"""docker-compose.yml is really built and run, with its lab: log in through the TLS front, make a VM, reach it.

Some minutes long: run by `scripts/test-compose`, which installs an engine; the plain suite leaves it out.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.engine import BASE, engine, import_base, missing_tools, namespace
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"app": "hopsight", "front": "hopsight-front", "postgres": "hopsight-postgres", "redis": "hopsight-redis", "lab": "hopsight-lab"}  # fmt: skip
SERVICES = ("web", "worker", "beat", "collector", "controller", "console", "front", "postgres", "redis")
PORT = 8443

pytestmark = [
    pytest.mark.skipif(os.environ.get("HOPSIGHT_COMPOSE") != "1", reason="scripts/test-compose runs it"),
    pytest.mark.timeout(2400),
]


@dataclass
class Deployment:
    """A deployment that was started."""

    netns: str
    environment: dict[str, str]
    files: tuple[str, ...]

    def compose(self, *words: str, check: bool = True) -> str:
        argv = ["docker-compose", "-p", "hopsight-test", *self.files, "--profile", "lab", *words]
        done = subprocess.run(argv, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def inside(self, service: str, script: str, given: str = "") -> str:
        """What a shell in a service's container says, whose standard input is `given`; nothing when it fails."""
        argv = ["docker-compose", "-p", "hopsight-test", *self.files, "exec", "-T", service, "sh", "-c", script]
        done = subprocess.run(argv, env=self.environment, cwd=ROOT, input=given, capture_output=True, text=True, timeout=120)  # fmt: skip
        return done.stdout if done.returncode == 0 else ""

    def curl(self, path: str, *words: str) -> str:
        """What the front answers, from inside the namespace that the engine's networks are in."""
        argv = ["ip", "netns", "exec", self.netns, "curl", "-sk", "--max-time", "20", *words]
        return subprocess.run([*argv, f"https://localhost:{PORT}{path}"], capture_output=True, text=True).stdout

    def api(self, token: str, path: str, body: dict[str, Any] | None = None) -> Any:
        words = ["-H", f"Authorization: Bearer {token}"]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(self.curl(f"/api/v1{path}", *words))


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    if missing := missing_tools():
        pytest.fail(f"not on this machine: {', '.join(missing)}; scripts/test-compose installs them")
    name = f"hs-dk-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory(prefix="hs-dk-") as top, namespace(name):
        folder = Path(top)
        with engine(folder) as environment:
            import_base(folder, environment)
            for target, image in TARGETS.items():
                argv = ["docker", "build", "-q", "--network", "host", "--build-arg", f"BASE={BASE}", "--target", target]
                done = subprocess.run([*argv, "-t", f"{image}:local", "."], env=environment, cwd=ROOT, capture_output=True, text=True)  # fmt: skip
                assert done.returncode == 0, f"{target}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
        settings = {"HOPSIGHT_SECRET": secrets.token_hex(32), "POSTGRES_PASSWORD": secrets.token_hex(16)}
        settings |= {
            "HOPSIGHT_MODE": "lab",
            "HOPSIGHT_LAB_USER": "0:0",
            "HOPSIGHT_BASE": BASE,
            "HOPSIGHT_PORT": str(PORT),
        }
        with engine(folder, name) as environment:
            started = Deployment(name, environment | settings, ("-f", "docker-compose.yml"))
            try:
                started.compose("up", "-d", "--no-build")
                yield started
            finally:
                started.compose("logs", "--no-color", "--tail=200", check=False)
                started.compose("down", "-v", "-t", "30", check=False)


def test_nothing_starts_without_its_secrets() -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOPSIGHT_SECRET", "POSTGRES_PASSWORD")
    }
    done = subprocess.run(["docker-compose", "config", "-q"], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "HOPSIGHT_SECRET" in done.stderr


def test_every_service_runs_and_stays_without_root_or_a_writable_root(deployment: Deployment) -> None:
    def healthy() -> bool:
        return deployment.curl("/login/", "-o", "/dev/null", "-w", "%{http_code}") == "200"

    wait_for(healthy, 120, "the front answers", 1.0)
    up = deployment.compose("ps", "--services", "--filter", "status=running").split()
    assert set(SERVICES) <= set(up), deployment.compose("ps") + deployment.compose("logs", "--tail=30")
    for service in ("front", "postgres", "redis"):
        assert deployment.compose("exec", "-T", service, "id", "-u").strip() != "0"
        assert "Read-only" in deployment.compose("exec", "-T", service, "sh", "-c", "touch /x 2>&1 || true")


def test_the_front_hands_a_body_on_as_it_comes_and_the_web_process_bounds_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "body").write_text("x" * 300_000)
    words = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary", f"@{tmp_path / 'body'}")
    told = deployment.curl("/api/v1/vms", *words)
    assert json.loads(told)["status"] == 413 and "262144 bytes" in json.loads(told)["errors"]["body"][0], told


def test_two_vms_are_made_reached_by_ssh_and_the_way_between_them_is_told(
    deployment: Deployment, tmp_path: Path
) -> None:
    wait_for(lambda: "password" in deployment.compose("logs", "--no-color", "lab"), 180, "the lab is up", 1.0)
    wait_for(lambda: "Reach guests" in deployment.compose("logs", "--no-color", "lab"), 180, "the lab is seen", 1.0)
    found = re.search(r"hst_\S+", _python(deployment, TOKEN))
    assert found, "no token"
    token, key = found[0], tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    number = deployment.api(token, "/keys", {"name": "test", "public_key": public})["id"]
    web, db = [_made(deployment, token, name, number) for name in ("web-1", "db-1")]
    told = _traced(deployment, token, {"source": web["ports"][0]["uuid"], "target": "db-1"})
    assert told["result"]["verdict"] == "delivered", told
    ssh = f"{SSH} {web['login_user']}@{web['address']} ping -c 1 {db['address']}"
    script = f"umask 77; cat >/tmp/key; ip netns exec hs-main-access {ssh}"
    wait_for(lambda: "1 packets received" in deployment.inside("lab", script, key.read_text()), 120, "a ping by SSH", 1)


def _made(deployment: Deployment, token: str, name: str, key: int) -> Any:
    """The VM, running, on a host of its own."""
    body = {"name": name, "image": "tiny", "flavor": "nano", "network": "payments-net", "key": key}
    made = deployment.api(token, "/vms", {**body, "apart": "tier", "apart_must": True})

    def running() -> Any:
        vm = deployment.api(token, f"/vms/{made['vm']['uuid']}")
        return vm if vm.get("state") == "running" else None

    return wait_for(running, 120, f"the VM runs: {made}", 1.0)


def _traced(deployment: Deployment, token: str, asked: dict[str, Any]) -> Any:
    """The trace with its answer."""
    made = deployment.api(token, "/traces", asked)

    def done() -> Any:
        told = deployment.api(token, f"/traces/{made['uuid']}")
        return told if told["state"] in ("done", "failed") else None

    return wait_for(done, 60, f"the trace is answered: {made}", 1.0)


SSH = (
    "ssh -i /tmp/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 -o BatchMode=yes"
)
TOKEN = """
from portal.accounts.models import User
from portal.accounts.tokens import make_token
print(make_token(User.objects.get(username="alice"), "test", True, 7)[1])
"""


def _python(deployment: Deployment, words: str) -> str:
    return deployment.compose("exec", "-T", "web", "python", "manage.py", "shell", "-c", words)
