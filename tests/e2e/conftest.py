"""The whole product, started by its own command, with a lab of its own: one per run, shared by the tests of this folder."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.databases import own_database
from tests.e2e.api import Api
from tests.waiting import wait_for

expect.set_options(timeout=30_000)  # a busy machine makes a page late, not wrong

ROOT = Path(__file__).resolve().parent.parent.parent
ARTIFACTS = ROOT / "tests" / "artifacts"
READY_DEADLINE_S = 150.0
ERRORS_TOLD, LINES_PER_ERROR = 4, 60
BEGAN = pytest.StashKey[int]()  # how many lines the product had printed when the test began
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Product:
    """A running `manage.py run`: where it answers, who may log in, what it printed."""

    state: Path
    lab: str
    lines: list[str] = field(default_factory=list)
    url: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    port: int = 18300
    python: tuple[str, ...] = (sys.executable,)
    more: dict[str, str] = field(default_factory=dict)
    database: dict[str, str] = field(default_factory=own_database)

    def environment(self) -> dict[str, str]:
        ours = {"HOPSIGHT_STATE": str(self.state), "HOPSIGHT_LAB": self.lab, "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **ours, **self.database, **self.more}

    def start(self) -> None:
        """Start it, or start it again, and wait until it says that it is ready."""
        self.url = ""
        argv = [*self.python, str(ROOT / "manage.py"), "run", "--port", str(self.port)]
        process = subprocess.Popen(
            argv, env=self.environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.process = process
        threading.Thread(target=self._collect, args=(process,), daemon=True).start()
        wait_for(lambda: self.url or process.poll() is not None, READY_DEADLINE_S, "the product gets ready")
        assert self.url, self.log()
        for line in (self.state / "passwords").read_text().splitlines():
            user, _, password = line.partition(" ")
            self.passwords[user.strip(": ")] = password.strip()

    def end(self) -> None:
        """As Ctrl-C does."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def log(self) -> str:
        return "\n".join(self.lines)

    def troubles(self, since: int) -> str:
        """What it logged of errors from that line on, with their tracebacks: what a failed test's report needs."""
        marks = ("ERROR", "CRITICAL", "Traceback")
        recent = self.lines[since:]
        errors = [number for number, line in enumerate(recent) if any(mark in line for mark in marks)]
        told = sorted({at for number in errors[-ERRORS_TOLD:] for at in range(number, number + LINES_PER_ERROR)})
        return "\n".join(recent[number] for number in told if number < len(recent))

    def in_access(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command where the lab's access port is."""
        command = ["ip", "netns", "exec", f"hs-{self.lab}-access", *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())
            found = re.search(r"(http://127\.0\.0\.1:\d+)/", line)
            if found and "ready" in line:
                self.url = found[1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    for known in getattr(item, "funcargs", {}).values():
        if isinstance(known, Product):
            item.stash[BEGAN] = len(known.lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test's report says what the product it spoke to logged of errors."""
    report = yield
    for known in getattr(item, "funcargs", {}).values() if report.failed else ():
        if isinstance(known, Product):
            report.sections.append(
                ("errors that the product logged", known.troubles(item.stash.get(BEGAN, 0)) or "none")
            )
    return report


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    if os.getuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the end-to-end tests need root: they make network namespaces")
        pytest.skip("needs root")
    state = Path(tempfile.mkdtemp(prefix="hs-e2e-"))
    lab = f"e{secrets.token_hex(2)}"
    product = Product(state, lab)
    ARTIFACTS.mkdir(exist_ok=True)
    try:
        product.start()
        yield product
    finally:
        product.end()
        (ARTIFACTS / "e2e.log").write_text(product.log())
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "lab", "down"], env=product.environment(), cwd=ROOT, check=False)
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="module")
def api(product: Product) -> Api:
    """Alice's session."""
    return Api(product, "alice")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key for SSH; its public half lies beside it."""
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path
