"""A VM from the request to running and to SSH, against the same guest started by hand on the same hypervisor.

`running` is libvirt's own report of the started domain; the reference is overlay + define + start of the same size of
guest with the same image. `ssh` is the first answer of its SSH port; by hand it is asked for through a plain bridge.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 9
ROOT = Path(__file__).resolve().parent.parent


def measure_vms() -> dict[str, dict[str, object]]:
    """Both figures; each round makes one VM by us and one by hand, never both at once."""
    with running_product() as product:
        told = subprocess.run(
            [sys.executable, "-m", "bench.vms"],
            env=product.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
        )
        if told.returncode:
            raise RuntimeError(told.stderr[-2000:])
    rounds = [
        [float(word) for word in line.split()[1:]] for line in told.stdout.splitlines() if line.startswith("round ")
    ]
    columns = [statistics.median(column) for column in zip(*rounds, strict=True)]
    how = f"median of {ROUNDS}, tiny image, 128 MiB, TCG, idle machine, one VM at a time"
    return {
        "vm_create_to_running": _figure(
            columns[0], columns[1], how + "; reference: overlay + virsh define + virsh start"
        ),
        "vm_create_to_ssh": _figure(
            columns[2], columns[3], how + "; reference: the handmade guest until nc gets the SSH banner"
        ),
    }


def _figure(ours: float, reference: float, how: str) -> dict[str, object]:
    return {
        "ours": round(ours, 3),
        "reference": round(reference, 3),
        "ratio": round(ours / reference, 2),
        "unit": "s",
        "how": how,
    }


@dataclass
class Running:
    """The product as it was started: its settings, its address, who may log in."""

    environment: dict[str, str]
    lab: str
    url: str
    passwords: dict[str, str]

    def rundir(self, host: str) -> Path:
        """Where the host's Open vSwitch has its sockets."""
        from lab.paths import lab_paths

        return next(paths.ovs_rundir for paths in lab_paths(self.lab, 2) if paths.name == host)


@contextmanager
def running_product(port: int = 18_400) -> Iterator[Running]:
    """`manage.py run` with a lab and a state folder of its own, gone afterwards."""
    state, lab = tempfile.mkdtemp(prefix="hs-bench-"), f"b{secrets.token_hex(2)}"
    environment = {**os.environ, "HOPSIGHT_STATE": state, "HOPSIGHT_LAB": lab}
    argv = [sys.executable, str(ROOT / "manage.py"), "run", "--port", str(port)]
    process = subprocess.Popen(
        argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    told = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C ends it" in line:
                told.set()
        told.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        if not told.wait(300) or process.poll() is not None:
            raise RuntimeError("the product did not start:\n" + "".join(lines[-20:]))
        text = "".join(lines)
        passwords = dict(re.findall(r"^    (\w+) (\S+)$", text, re.M))
        yield Running(environment, lab, f"http://127.0.0.1:{port}", passwords)
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run([sys.executable, str(ROOT / "manage.py"), "lab", "down"], env=environment, cwd=ROOT, check=False)
        shutil.rmtree(state, ignore_errors=True)


def _rounds() -> None:
    """In a process with the product's settings: print a line per round."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
    django.setup()
    from django.conf import settings

    from lab.handmade import HandmadeGuest, plain_bridge, remove_guest, start_guest
    from lab.images import ensure_tiny
    from lab.paths import lab_paths
    from portal.operations.dispatch import warm_up

    warm_up()  # as the web process does when it starts
    host = lab_paths(settings.LAB_NAME, 2)[0]
    image = ensure_tiny(Path(settings.IMAGE_CACHE))
    plain_bridge(host, "br-hand")
    subprocess.run(
        ["ip", "netns", "exec", host.netns, "ip", "addr", "replace", "10.99.0.1/24", "dev", "br-hand"], check=True
    )
    subprocess.run(["ip", "netns", "exec", host.netns, "ip", "link", "set", "br-hand", "up"], check=True)
    subprocess.run(
        ["ip", "netns", "exec", host.netns, "ethtool", "-K", "br-hand", "tx", "off"], check=True, capture_output=True
    )
    key = Path(settings.STATE_DIR) / "bench-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = Path(f"{key}.pub").read_text().strip()
    for number in range(ROUNDS):
        running_s, ssh_s = _ours(f"bench-{number}", public)
        guest = HandmadeGuest(
            f"hand{number}", f"52:54:00:99:00:{number:02x}", public, f"10.99.0.{number + 10}/24", bridge="br-hand"
        )
        began = time.perf_counter()
        start_guest(host, guest, image)
        hand_running_s = time.perf_counter() - began
        _wait_ssh(host.netns, f"10.99.0.{number + 10}")
        hand_ssh_s = time.perf_counter() - began
        remove_guest(host, guest.name)
        print("round", running_s, hand_running_s, ssh_s, hand_ssh_s, flush=True)


def _ours(name: str, public: str) -> tuple[float, float]:
    from portal.accounts.models import Team, User
    from portal.compute.models import VM, Flavor, Image, KeyPair
    from portal.compute.requests import VMSpec, create_vm, delete_vm
    from portal.networks.models import Network

    alice, team = User.objects.get(username="alice"), Team.objects.get(slug="payments")
    key, _ = KeyPair.objects.get_or_create(
        user=alice, name="bench", defaults={"public_key": public, "fingerprint": "-"}
    )
    spec = VMSpec(
        name, Image.objects.get(slug="tiny"), Flavor.objects.get(name="nano"), Network.objects.get(name="payments-net"),
        secrets.token_hex(8), key=key,
    )  # fmt: skip
    made = create_vm(team, alice, spec).vm
    deadline = time.monotonic() + 90
    while not (vm := VM.objects.get(pk=made.pk)).ssh_at:
        assert time.monotonic() < deadline, f"{name} is {vm.state}, no SSH after 90 s"
        time.sleep(0.1)
    assert vm.started_at
    figures = ((vm.started_at - vm.created_at).total_seconds(), (vm.ssh_at - vm.created_at).total_seconds())
    delete_vm(vm, alice)
    while VM.objects.filter(pk=made.pk).exists():
        assert time.monotonic() < deadline, f"{name} was not deleted"
        time.sleep(0.1)
    return figures


def _wait_ssh(netns: str, address: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        argv = [
            "ip",
            "netns",
            "exec",
            netns,
            "timeout",
            "1",
            "bash",
            "-c",
            'exec 3<>/dev/tcp/"$0"/22 && head -n 1 <&3',
            address,
        ]
        if b"SSH-" in subprocess.run(argv, capture_output=True).stdout:
            return
        time.sleep(0.1)
    raise TimeoutError(f"the handmade guest {address} did not answer on port 22 within 90 s")


if __name__ == "__main__":
    _rounds()
