"""A Debian 12 guest, made through the product: cloud-init lets its user in and grows its file system.

A minute and more under emulation, so only where it is asked for: `HOPSIGHT_SLOW=1`, after `scripts/image-debian`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Api
from tests.e2e.conftest import Product
from tests.e2e.guests import SSH_OPTIONS
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.lab, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("HOPSIGHT_SLOW") != "1", reason="slow: HOPSIGHT_SLOW=1 asks for it"),
]  # fmt: skip


def test_debian_boots_with_cloud_init_and_lets_its_user_in(product: Product, api: Api, key: Path) -> None:
    slugs = [image["slug"] for image in _items(api.get("/images"))]
    assert "debian-12" in slugs, "the Debian image was not built: scripts/image-debian"
    config = f"#cloud-config\nssh_authorized_keys:\n  - {Path(f'{key}.pub').read_text().strip()}\n"
    asked = {"name": "deb-1", "image": "debian-12", "flavor": "M", "network": "payments-net", "user_data": config}
    status, answer = api.send("POST", "/vms", asked)
    assert status == 202, answer
    ssh = ["ssh", "-i", str(key), *SSH_OPTIONS, f"debian@{answer['vm']['address']}"]
    try:
        wait_for(lambda: "deb-1" in product.in_access(*ssh, "hostname", timeout=60).stdout, 400, "SSH answers", 1.0)
        told = product.in_access(
            *ssh, "id -un; sudo id -un; df -m --output=size / | tail -n 1", timeout=60
        ).stdout.split()
        assert told[:2] == ["debian", "root"]
        assert int(told[2]) > 3000, "its file system has grown to the disk's 4 GiB"
    finally:
        api.send("DELETE", f"/vms/{answer['vm']['uuid']}")


def _items(answer: Any) -> list[dict[str, Any]]:
    return list(answer["items"] if isinstance(answer, dict) else answer)
