"""Each model of a NIC is driven by a guest: its own driver, DHCP, SSH through br-int.

But for vmxnet3, which leaves checksums to the switch: that of a lab runs in user space and makes none.

The tiny guest's kernel, Debian's for clouds, has drivers of virtio and vmxnet3 alone. So this guest has the kernel of Debian's
linux-image-amd64, which is fetched: only where it is asked for, by `HOPSIGHT_SLOW=1`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.commands import run
from lab.images.tiny import MODULES, build_tiny, tiny_in
from tests.e2e.api import Api
from tests.e2e.conftest import ROOT, Product
from tests.e2e.guests import in_guest, script_with
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("HOPSIGHT_SLOW") != "1", reason="slow: HOPSIGHT_SLOW=1 asks for it"),
]  # fmt: skip
DRIVERS = {"e1000": "e1000", "e1000e": "e1000e", "rtl8139": "8139cp", "virtio": "virtio_net"}
MAKE = "from portal.compute.models import Image; Image.objects.create(slug='drivers', name='Drivers', boot='kernel', **{told!r})"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's kernel for all machines, unpacked with its modules beside it."""
    folder = tmp_path_factory.mktemp("kernel")
    found = re.search(r"Depends: (linux-image-\S+-amd64)", run("apt-cache", "depends", "linux-image-amd64"))
    assert found, "apt knows no linux-image-amd64: apt-get update"
    subprocess.run(["apt-get", "-q", "download", found[1]], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (package,) = folder.glob("*.deb")
    run("dpkg-deb", "--extract", str(package), str(folder), patience_s=120)
    (made,) = (folder / "boot").glob("vmlinuz-*")
    run("depmod", "--basedir", str(folder), made.name.removeprefix("vmlinuz-"), patience_s=60)
    return made


@pytest.fixture(scope="module")
def image(product: Product, kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("drivers")
    drivers = tuple(name for name in DRIVERS.values() if name not in MODULES)
    build_tiny(folder, kernel, (*MODULES, *drivers), kernel.parent.parent / "lib" / "modules")
    tiny = tiny_in(folder)
    told = {"disk_path": str(tiny.disk), "kernel_path": str(tiny.kernel), "initrd_path": str(tiny.initrd)}
    make = MAKE.format(told=told | {"cmdline": tiny.cmdline})
    argv = [sys.executable, str(ROOT / "manage.py"), "shell", "-c", make]
    subprocess.run(argv, env=product.environment(), cwd=ROOT, check=True, capture_output=True)
    return "drivers"


@pytest.fixture(scope="module")
def vms(product: Product, image: str, key: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """A VM of each model, all booting."""
    api = Api(product, "alice")
    asked = {"image": image, "flavor": "S", "network": "payments-net", "user_data": script_with(key)}
    made = {}
    for model in DRIVERS:
        status, answer = api.send("POST", "/vms", asked | {"name": f"nic-{model}", "nic_model": model})
        assert status == 202, answer
        made[model] = answer["vm"]
    yield made
    for vm in made.values():
        api.send("DELETE", f"/vms/{vm['uuid']}")


@pytest.mark.parametrize("model", DRIVERS)
def test_a_guest_drives_it_gets_its_address_and_is_reached(
    product: Product, key: Path, vms: dict[str, dict[str, Any]], model: str
) -> None:
    vm = vms[model]

    def asked(command: str) -> str:
        return in_guest(product, key, vm, command).stdout

    wait_for(lambda: asked("echo in") == "in\n", 400, f"SSH by {model}", 1.0)
    told = asked("readlink -f /sys/class/net/eth0/device/driver; ip -4 addr show eth0; ping -c 2 -W 2 10.20.0.1")
    assert told.splitlines()[0].rpartition("/")[2] == DRIVERS[model], told
    assert vm["address"] in told and " 0% packet loss" in told, told


def test_one_that_nobody_would_reach_here_is_refused_in_words(product: Product, vms: dict[str, dict[str, Any]]) -> None:
    asked = {
        "name": "nic-vmxnet3",
        "image": "drivers",
        "flavor": "S",
        "network": "payments-net",
        "nic_model": "vmxnet3",
    }
    status, answer = Api(product, "alice").send("POST", "/vms", asked)
    assert status == 422 and "pings would pass and TCP would not" in str(answer["errors"]["nic_model"])
