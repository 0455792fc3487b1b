"""Guests of the product's lab: how they are entered, where their files are, and whether they answer; one that does not tells
its side in the failure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Product
from tests.waiting import wait_for

LABS = Path("/var/lib/hopsight/labs")
TOLD_BYTES = 3000
SSH_OPTIONS = (
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes",
)  # fmt: skip


def script_with(key: Path) -> str:
    """User-data that lets the key in, of a guest that runs a script."""
    public = Path(f"{key}.pub").read_text().strip()
    return f"#!/bin/sh\nmkdir -p /root/.ssh\necho '{public}' >> /root/.ssh/authorized_keys\n"


def at_address(product: Product, key: Path, address: str, command: str) -> subprocess.CompletedProcess[str]:
    """What a command does in the guest at that address, entered by SSH from the access port."""
    return product.in_access("ssh", "-i", str(key), *SSH_OPTIONS, f"root@{address}", command, timeout=60)


def in_guest(product: Product, key: Path, vm: Mapping[str, Any], command: str) -> subprocess.CompletedProcess[str]:
    """As `at_address`, at the VM's own."""
    return at_address(product, key, vm["address"], command)


def virsh(product: Product, vm: Mapping[str, Any], *verb: str) -> str:
    """What virsh prints for the VM's domain, on the host that the VM's answer named."""
    socket = LABS / product.lab / vm["host"] / "run/libvirt/libvirt-sock"
    argv = ["virsh", "-q", "-c", f"qemu+unix:///system?socket={socket}", *verb, f"hs-{vm['uuid']}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def answers_ssh(product: Product, address: str) -> bool:
    """Is there an SSH server's banner at that address, as seen from the access port?"""
    ask = ["bash", "-c", f"exec 3<>/dev/tcp/{address}/22 && head -n 1 <&3"]
    return "SSH-" in product.in_access("timeout", "2", *ask).stdout


def await_ssh(product: Product, vm: Mapping[str, Any], what: str, deadline_s: float = 60) -> None:
    """Until the guest answers; else the failure has the end of its console and who is known at its address."""
    try:
        wait_for(lambda: answers_ssh(product, vm["address"]), deadline_s, what, 0.2)
    except AssertionError as silent:
        consoles = (LABS / product.lab).glob(f"*/disks/hs-{vm['uuid']}-console.log")  # it may have moved
        facts = {
            "ping": product.in_access("ping", "-c", "2", "-W", "1", vm["address"]).stdout,
            "neighbours": product.in_access("ip", "neigh").stdout,
            **{str(one): one.read_bytes()[-TOLD_BYTES:].decode(errors="replace") for one in consoles},
        }
        raise AssertionError("\n".join([str(silent), *(f"{name}: {text}" for name, text in facts.items())])) from None
